//! The model's regular expressions. They are Java's, and have to match the whole of a text
//! (`Matcher.matches`); where Java means something else than the engine used here, they are rewritten.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::Regex;

/// A pattern, compiled when it is first asked for: most never are.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: Cow<'static, str>,
    compiled: OnceLock<Regex>,
}

impl Pattern {
    pub fn new(source: Cow<'static, str>) -> Self {
        Self { source, compiled: OnceLock::new() }
    }

    /// As the model writes it: messages quote it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        let regex = self
            .compiled
            .get_or_init(|| Regex::new(&translate(&self.source)).expect("a test compiles every pattern"));
        regex.is_match(text)
    }
}

/// Anchors a pattern, and gives Java's meaning to what differs: its classes `\d` and `\S` know ASCII alone,
/// and its dot stops at five ends of lines.
fn translate(java: &str) -> String {
    let mut out = String::from(r"\A(?:");
    let mut chars = java.chars();
    let mut in_class = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('d') => out.push_str(if in_class { "0-9" } else { "[0-9]" }),
                Some('S') if !in_class => out.push_str(r"[^ \t\n\x0B\f\r]"),
                Some(escaped) if escaped.is_ascii_punctuation() && !matches!(escaped, '_' | '/') => {
                    out.extend(['\\', escaped]);
                }
                Some(plain @ ('_' | '/')) => out.push(plain),
                other => panic!("the pattern {java} has an escape that is not known: {other:?}"),
            },
            '.' if !in_class => out.push_str(r"[^\n\r\x{85}\x{2028}\x{2029}]"),
            _ => {
                in_class = (in_class || char == '[') && char != ']';
                out.push(char);
            }
        }
    }
    out.push_str(r")\z");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &'static str, text: &str) -> bool {
        Pattern::new(pattern.into()).matches(text)
    }

    #[test]
    fn the_whole_text_has_to_match() {
        assert!(matches("[a-zA-Z0-9_.-]+", "a.b-c_D9"));
        assert!(!matches("[a-zA-Z0-9_.-]+", "a b"));
        assert!(!matches("[a-zA-Z0-9_.-]+", "ab\n"));
        assert!(!matches("a|b", "ab"));
        assert!(matches("^(0|([1-9]\\d{0,38}))$", "17"));
        assert!(!matches("^(0|([1-9]\\d{0,38}))$", "017"));
        assert!(!matches("^(0|([1-9]\\d{0,38}))$", "17\n"));
    }

    #[test]
    fn classes_are_java_s() {
        assert!(!matches("\\d+", "١٢"), "digits are ASCII");
        assert!(matches("\\S+", "a\u{a0}b"), "a space that breaks no line is none");
        assert!(!matches(".+", "a\u{2028}b"), "a dot is no end of a line");
        assert!(matches("[\\.\\-_/#A-Za-z0-9]+", "a/b#c_d"));
        assert!(!matches("[\\.\\-_/#A-Za-z0-9]+", "a\\b"));
        assert!(matches("[a-zA-Z0-9\\.\\_]+", "a_b.c"));
    }
}
