//! The six steps: compile, bind, optimise, bundle the style sheet, copy, compress.

use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};
use wasm_bindgen_cli_support::Bindgen;

/// How to build.
#[derive(Debug)]
pub struct Options {
    /// Cargo profile of the front end.
    pub profile: String,
    /// Fail when the compressed wasm is larger.
    pub limit_kib: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { profile: "wasm-dev".to_owned(), limit_kib: None }
    }
}

/// Files that are worth compressing.
const COMPRESSED: [&str; 5] = ["js", "css", "wasm", "svg", "json"];

pub fn build(options: &Options) -> Result<()> {
    // Not where xtask was compiled: several clones share one target directory.
    let here = std::env::current_dir()?;
    let root = here
        .ancestors()
        .find(|folder| folder.join("style/main.css").is_file())
        .context("run this inside the checkout")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("front");
    let site = root.join("target/site");

    say(&format!("compiling the front end ({})", options.profile));
    let compiled = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(root)
        .args([
            "build",
            "--package",
            "frontend",
            "--lib",
            "--target",
            "wasm32-unknown-unknown",
            "--profile",
            &options.profile,
        ])
        .arg("--target-dir")
        .arg(&target)
        .status()
        .context("cargo does not start")?;
    ensure!(
        compiled.success(),
        "the front end does not compile; run script/setup when the target wasm32-unknown-unknown is missing"
    );
    let wasm = target.join("wasm32-unknown-unknown").join(&options.profile).join("frontend.wasm");

    say("making the bindings");
    let fresh = root.join("target/site.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).context("the last site cannot be removed")?;
    }
    let package = fresh.join("pkg");
    fs::create_dir_all(&package)?;
    Bindgen::new()
        .input_path(&wasm)
        .web(true)?
        .out_name("holdfast")
        .typescript(false)
        .debug(options.profile == "wasm-dev")
        .generate(&package)?;
    let bound = package.join("holdfast.wasm");
    fs::rename(package.join("holdfast_bg.wasm"), &bound)?;

    if options.profile == "wasm-release" {
        optimise(root, &bound)?;
    }

    say("style sheet and files");
    copy(&root.join("public"), &fresh)?;
    fs::write(fresh.join("main.css"), bundle(&root.join("style/main.css"))?)?;

    say("compressing");
    let quality = if options.profile == "wasm-release" { 11 } else { 4 };
    compress(&fresh, quality)?;
    let raw = fs::metadata(&bound)?.len();
    let brotli = fs::metadata(package.join("holdfast.wasm.br"))?.len();
    say(&format!("wasm {} KiB, brotli {} KiB", raw / 1024, brotli / 1024));
    if let Some(limit) = options.limit_kib {
        ensure!(brotli <= limit * 1024, "the wasm is {} KiB compressed; the limit is {limit} KiB", brotli / 1024);
    }
    if site.exists() {
        fs::remove_dir_all(&site)?;
    }
    fs::rename(&fresh, &site).context("the site cannot be put in its place")?;
    Ok(())
}

/// `wasm-opt` is taken where it is: on the PATH, or from npm's binaryen. Without it the site is larger and works.
fn optimise(root: &Path, wasm: &Path) -> Result<()> {
    let local = root.join("end2end/node_modules/.bin/wasm-opt");
    let program = if local.exists() { local } else { PathBuf::from("wasm-opt") };
    let smaller = wasm.with_extension("opt");
    let flags = [
        "-Oz",
        "--enable-bulk-memory",
        "--enable-nontrapping-float-to-int",
        "--enable-sign-ext",
        "--enable-reference-types",
        "--enable-multivalue",
        "--enable-mutable-globals",
    ];
    match Command::new(&program).args(flags).arg(wasm).arg("-o").arg(&smaller).status() {
        Ok(status) if status.success() => Ok(fs::rename(&smaller, wasm)?),
        Ok(_) => bail!("{} failed", program.display()),
        Err(_) => {
            say("wasm-opt is not there: the site is about a third larger");
            Ok(())
        }
    }
}

/// Puts the imported files in the place of their `@import`.
fn bundle(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let directory = path.parent().context("a style sheet has a directory")?;
    let mut out = String::new();
    for line in text.lines() {
        match line.trim().strip_prefix("@import \"").and_then(|rest| rest.strip_suffix("\";")) {
            Some(name) => out.push_str(&bundle(&directory.join(name))?),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn compress(directory: &Path, quality: i32) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            compress(&path, quality)?;
            continue;
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !COMPRESSED.contains(&extension) {
            continue;
        }
        let content = fs::read(&path)?;
        let params = brotli::enc::BrotliEncoderParams { quality, size_hint: content.len(), ..Default::default() };
        let mut out = Vec::new();
        brotli::BrotliCompress(&mut content.as_slice(), &mut out, &params)?;
        fs::write(format!("{}.br", path.display()), out)?;
    }
    Ok(())
}

fn say(text: &str) {
    // A closed pipe is no reason to stop building.
    let _ = writeln!(std::io::stderr(), "    site: {text}");
}
