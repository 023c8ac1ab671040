//! The words of a STIX pattern (STIX 2.1, section 9), one after the other.

use super::PatternError;

/// One word of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// `[`, `]`, `(`, `)`, `,` and the comparison signs.
    Sign(&'static str),
    /// An object path, `file:hashes.'SHA-256'`: the type, and the steps
    /// without quotes, list steps as `[*]` or `[3]`.
    Path { object: String, steps: Vec<String> },
    /// A keyword or another bare word, in upper case.
    Word(String),
    /// A string literal, unescaped.
    Text(String),
    /// A number.
    Number(String),
    /// A literal with a prefix: a timestamp, hexadecimal or base64.
    Prefixed,
}

/// Goes through a pattern without going back.
pub(super) struct Tokens<'a> {
    pattern: &'a str,
    at: usize,
}

const SIGNS: [&str; 13] = [
    "!=", "<>", "<=", ">=", "==", "[", "]", "(", ")", ",", "=", "<", ">",
];

impl<'a> Tokens<'a> {
    pub(super) const fn new(pattern: &'a str) -> Self {
        Self { pattern, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    /// The error that something else was due here.
    pub(super) fn malformed(&self, expected: &'static str) -> PatternError {
        PatternError::Malformed {
            offset: self.at,
            expected,
        }
    }

    /// The next word; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, PatternError> {
        self.skip();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(None);
        };
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            self.at += sign.len();
            return Ok(Some(Token::Sign(sign)));
        }
        if first == '\'' {
            return self.quoted().map(|text| Some(Token::Text(text)));
        }
        if matches!(first, 't' | 'h' | 'b') && rest.get(1..2) == Some("'") {
            self.at += 1;
            self.quoted()?;
            return Ok(Some(Token::Prefixed));
        }
        if first.is_ascii_digit() || matches!(first, '-' | '+') {
            let end = rest
                .find(|char: char| !(char.is_ascii_alphanumeric() || "+-.".contains(char)))
                .unwrap_or(rest.len());
            self.at += end;
            let text = rest.get(..end).unwrap_or_default();
            return Ok(Some(Token::Number(text.to_owned())));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return self.word().map(Some);
        }
        Err(self.malformed("a word of the pattern language"))
    }

    /// White space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let length = if trimmed.starts_with("//") {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += length;
        }
    }

    /// A literal in single quotes; the cursor stands on the first.
    fn quoted(&mut self) -> Result<String, PatternError> {
        let start = self.at;
        let mut out = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '\'' => {
                    self.at = start + at + 1;
                    return Ok(out);
                }
                // Only the quote and the backslash are escaped in patterns.
                '\\' => match chars.next() {
                    Some((_, escaped @ ('\'' | '\\'))) => out.push(escaped),
                    Some((_, other)) => {
                        out.push('\\');
                        out.push(other);
                    }
                    None => break,
                },
                _ => out.push(char),
            }
        }
        Err(self.malformed("the end of a string literal"))
    }

    /// A bare word: a keyword, or the start of a path when `:` follows.
    fn word(&mut self) -> Result<Token, PatternError> {
        let word = self.bare();
        if !self.rest().starts_with(':') {
            return Ok(Token::Word(word.to_ascii_uppercase()));
        }
        self.at += 1;
        let mut steps = Vec::new();
        loop {
            let rest = self.rest();
            steps.push(if rest.starts_with('\'') {
                self.quoted()?
            } else {
                let step = self.bare();
                if step.is_empty() {
                    return Err(self.malformed("a step of an object path"));
                }
                step.to_owned()
            });
            while let Some(inside) = self.rest().strip_prefix('[') {
                let Some(end) = inside.find(']') else {
                    return Err(self.malformed("the end of a list step"));
                };
                let step = inside.get(..end).unwrap_or_default();
                if step != "*" && !step.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(self.malformed("a list step"));
                }
                steps.push(format!("[{step}]"));
                self.at += end + 2;
            }
            if !self.rest().starts_with('.') {
                break;
            }
            self.at += 1;
        }
        Ok(Token::Path {
            object: word.to_ascii_lowercase(),
            steps,
        })
    }

    fn bare(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-')))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
}
