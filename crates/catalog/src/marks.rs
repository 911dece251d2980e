//! Marks: the bits of `plugins.marks` that a plugin must have to be an answer (docs/adr/0059-marks.md).
//!
//! The beginning of a word sets one bit, a keyword or a tag two: it comes alone, where a word has two beginnings.
//! Several of them set the same bit, so whoever has them all may still be none: the row itself is asked too.
use crate::{PluginFilter, question::Look};
use pool::Value;
use sha2::{Digest as _, Sha256};

/// Letters of the beginnings that are marked. A shorter word is marked by none, and leaves nothing out.
const BEGINNINGS: [usize; 2] = [2, 4];

/// As `plugin_marks` of the migration has it.
struct Marks([bool; 256]);

impl Marks {
    /// Sets as many bits as `of`, 1 or 2.
    fn mark(&mut self, of: usize, kind: char, text: &str) {
        for byte in Sha256::digest(format!("{kind}{text}")).iter().take(of) {
            if let Some(bit) = self.0.get_mut(usize::from(*byte)) {
                *bit = true;
            }
        }
    }

    fn word(&mut self, word: &str) {
        for letters in BEGINNINGS {
            if let Some((end, last)) = word.char_indices().nth(letters - 1) {
                self.mark(1, 'w', &word[..end + last.len_utf8()]);
            }
        }
    }
}

/// Marks as PostgreSQL writes a `bit(256)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bits(String);

impl Value for Bits {
    const TYPE: &'static str = "bit";
    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The marks of what a filter looks for. `None` when it looks for nothing that is marked.
pub(crate) fn marks(filter: &PluginFilter, look: Look) -> Option<Bits> {
    let mut marks = Marks([false; 256]);
    // What is only similar may begin otherwise.
    if look == Look::Words {
        filter.words().for_each(|word| marks.word(&word));
    }
    filter.keywords.iter().for_each(|keyword| marks.mark(2, 'k', keyword));
    filter.tags.iter().for_each(|tag| marks.mark(2, 't', tag));
    marks.0.contains(&true).then(|| Bits(marks.0.iter().map(|bit| if *bit { '1' } else { '0' }).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filter(query: &str, tags: &[&str]) -> PluginFilter {
        PluginFilter {
            query: Some(query.to_owned()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..PluginFilter::default()
        }
    }

    #[test]
    fn a_longer_word_has_the_marks_of_its_beginnings() {
        let bits = |query: &str| marks(&filter(query, &[]), Look::Words).unwrap().text();
        let ones = |bits: &str| bits.chars().filter(|bit| *bit == '1').count();
        assert_eq!((bits("sw").len(), ones(&bits("sw")), ones(&bits("swift"))), (256, 1, 2));
        assert_eq!(bits("SWI"), bits("sw"));
        assert!(bits("sw").chars().zip(bits("swift").chars()).all(|(short, long)| short <= long));
        // Letters are counted, not bytes.
        assert_eq!(ones(&bits("ÄÖ")), 1);
        assert_ne!(bits("äöüß"), bits("äö"));
        assert_eq!(marks(&filter("x ä", &[]), Look::Words), None);
    }

    #[test]
    fn kinds_have_marks_of_their_own_and_similar_words_none() {
        assert_eq!(marks(&filter("swift", &[]), Look::Similar), None);
        assert_ne!(marks(&filter("", &["swif"]), Look::Words), marks(&filter("swif", &[]), Look::Words));
        assert_eq!(marks(&filter("swift", &["a"]), Look::Similar), marks(&filter("", &["a"]), Look::Nothing));
    }
}
