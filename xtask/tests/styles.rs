//! A class that stands alone in a selector belongs to one file: two pages that mean different things by one word spoil each
//! other, and nobody sees it who looks at his own page only.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Classes of a selector list that stand alone: `.a, .b { … }`.
fn alone(css: &str) -> BTreeSet<String> {
    let mut text = String::new();
    let mut rest = css;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").map_or("", |it| it.1);
    }
    text.push_str(rest);
    let heads = text.split(['{', '}', ';']);
    let selectors = heads.flat_map(|head| head.split(',')).map(str::trim);
    let class = |it: &str| {
        let name = it.strip_prefix('.')?;
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_').then(|| name.to_owned())
    };
    selectors.filter_map(class).collect()
}

#[test]
fn a_class_alone_is_styled_in_one_file() {
    // Cargo runs tests in their package's directory; a path of the compile time may be another checkout's.
    let root = Path::new("../style");
    let mut places = BTreeMap::<String, BTreeSet<String>>::new();
    for folder in ["components", "pages"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            for class in alone(&fs::read_to_string(&path).unwrap()) {
                places.entry(class).or_default().insert(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    assert!(places.len() > 50, "the style sheet was not read");
    let shared = places.iter().filter(|(_, files)| files.len() > 1).collect::<Vec<_>>();
    assert!(shared.is_empty(), "give one of them another name: {shared:#?}");
}
