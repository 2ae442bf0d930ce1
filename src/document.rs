//! TOML whose faults are told by file and line: configuration and themes are written in it. Pure: who has read the file
//! gives its text.

use std::borrow::Cow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// From here on two words are alike: the bound that clap has for options.
const ALIKE: f64 = 0.7;

/// A fault in a text of a user's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {text}")]
pub struct Fault {
    /// The file as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there, and what to do.
    pub text: String,
}

/// A text and the name of its file.
#[derive(Debug, Clone, Copy)]
pub struct Document<'t> {
    /// The file, for messages.
    pub file: &'t str,
    /// What is in it.
    pub text: &'t str,
}

/// A key and its value, each with the byte where it begins.
#[derive(Debug)]
pub struct Entry<'t> {
    /// The key.
    pub key: Cow<'t, str>,
    /// Where the key stands.
    pub at: usize,
    /// The value.
    pub value: DeValue<'t>,
    /// Where the value stands.
    pub value_at: usize,
}

impl<'t> Document<'t> {
    /// The entries of the topmost table.
    ///
    /// # Errors
    /// It is no TOML.
    pub fn entries(&self) -> Result<Vec<Entry<'t>>, Fault> {
        let table = DeTable::parse(self.text)
            .map_err(|e| self.fault(e.span().map_or(0, |s| s.start), format!("not TOML: {}", e.message())))?;
        Ok(in_order(table.into_inner()))
    }

    /// A fault at that byte.
    pub fn fault(&self, at: usize, text: impl Into<String>) -> Fault {
        let line = self.text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
        Fault { file: self.file.to_owned(), line, text: text.into() }
    }
}

/// A table's entries in the order of the text, so that the first fault in it is told first.
pub fn in_order(table: DeTable<'_>) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = table
        .into_iter()
        .map(|(key, value): (Spanned<_>, Spanned<_>)| {
            let (at, value_at) = (key.span().start, value.span().start);
            Entry { key: key.into_inner(), at, value: value.into_inner(), value_at }
        })
        .collect();
    entries.sort_by_key(|e| e.at);
    entries
}

/// The name most like `word`, if any is like it.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let scored = names.into_iter().map(|name| (strsim::jaro(word, name), name)).filter(|(score, _)| *score > ALIKE);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// The end of a message about an unknown `word`: the one name most like it, else all that there are.
pub fn suggestion<'n>(word: &str, names: impl IntoIterator<Item = &'n str> + Clone) -> String {
    nearest(word, names.clone()).map_or_else(
        || format!("there are {}", names.into_iter().collect::<Vec<_>>().join(", ")),
        |name| format!("did you mean {name}?"),
    )
}

/// `text` as a TOML string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_are_told_by_line() {
        let fault = Document { file: "x.toml", text: "a = 1\n\nb = [1,\n" }.entries().map(|_| ()).unwrap_err();
        assert_eq!((fault.file.as_str(), fault.line > 2), ("x.toml", true), "{fault}");
        let twice = Document { file: "x.toml", text: "a = 1\na = 2\n" }.entries().map(|_| ()).unwrap_err();
        assert_eq!(twice.line, 2, "{twice}");
    }

    #[test]
    fn entries_come_in_the_order_of_the_text() {
        let entries = Document { file: "", text: "z = 1\nb = 2\n[a]\n" }.entries().unwrap();
        assert_eq!(entries.iter().map(|e| e.key.as_ref()).collect::<Vec<_>>(), ["z", "b", "a"]);
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        assert_eq!(suggestion("thme", ["fps", "theme"]), "did you mean theme?");
        assert_eq!(suggestion("xyz", ["fps", "theme"]), "there are fps, theme");
    }

    proptest! {
        #[test]
        fn a_quoted_text_is_read_back(text in "\\PC*|[\u{0}-\u{9f}\"\\\\]*") {
            let written = format!("a = {}", quoted(&text));
            let entries = Document { file: "", text: &written }.entries().unwrap();
            prop_assert_eq!(entries[0].value.as_str(), Some(text.as_str()));
        }

        #[test]
        fn no_text_breaks_it(text in "[a-z=\\[\\]{}\"'\n#., 0-9]{0,60}") {
            let _ = Document { file: "", text: &text }.entries();
        }
    }
}
