//! What of a STIX pattern can be searched for.
//!
//! A pattern is stored whole and evaluated by sensors, never here. For search,
//! every literal that a pattern compares for equality on a path we know becomes
//! an index value; everything else is reported as not indexed, with the reason.
//! The reader goes through the words once, keeps no stack, and so costs the
//! same whatever a hostile pattern nests.

use crate::indicator::{Kind, Value, normalise};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_LITERALS_MAX};

mod tokens;

use tokens::{Token, Tokens};

/// What was found in a pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// The values the pattern compares for equality, in its order.
    pub values: Vec<Value>,
    /// Comparisons that are stored but not searchable.
    pub not_indexed: Vec<NotIndexed>,
    /// How many comparisons the pattern makes.
    pub comparisons: usize,
    equalities: usize,
}

impl Extracted {
    /// Whether the pattern is one comparison, and that for equality: most are.
    pub const fn is_single_equality(&self) -> bool {
        self.comparisons == 1 && self.equalities == 1
    }
}

/// A comparison that does not become an index value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct NotIndexed {
    /// The object path, as far as there is one.
    pub path: String,
    /// Why not.
    pub reason: String,
}

/// Why nothing at all can be taken from a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Longer than the bound.
    #[error("the pattern is longer than {PATTERN_BYTES_MAX} bytes; it is stored and not indexed")]
    TooLong,
    /// More literals than the bound.
    #[error(
        "the pattern has more than {PATTERN_LITERALS_MAX} literals; it is stored and not indexed"
    )]
    TooManyLiterals,
    /// Not the pattern language.
    #[error("the pattern is malformed at byte {offset}: expected {expected}")]
    Malformed {
        /// Bytes from the start of the pattern.
        offset: usize,
        /// What was due.
        expected: &'static str,
    },
}

/// What a path holds.
enum Holds {
    Exactly(Kind),
    /// A domain name or an address of either family.
    Host,
    /// The kind of a value that stands beside it.
    KindOnly,
    Nothing,
}

/// A comparison that is being read.
struct Comparison {
    path: String,
    holds: Holds,
    negated: bool,
}

/// Takes what can be searched for from `pattern`.
///
/// # Errors
/// When the pattern is beyond a bound or not in the pattern language.
pub fn extract(pattern: &str) -> Result<Extracted, PatternError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::TooLong);
    }
    let mut tokens = Tokens::new(pattern);
    let mut found = Extracted::default();
    let mut observation = Observation::default();
    let mut literals = 0_usize;
    let mut count = || {
        literals += 1;
        if literals > PATTERN_LITERALS_MAX {
            Err(PatternError::TooManyLiterals)
        } else {
            Ok(())
        }
    };
    while let Some(token) = tokens.next()? {
        match token {
            Token::Sign("[") => observation = Observation::at(found.values.len()),
            Token::Sign("]") => observation.join_port(&mut found),
            Token::Word(word) if word == "OR" => observation.plain = false,
            Token::Path { object, steps } => {
                let mut comparison = Comparison {
                    holds: holds(&object, &steps),
                    path: shown(&object, &steps),
                    negated: false,
                };
                found.comparisons += 1;
                let operator = operator(&mut tokens, &mut comparison)?;
                let is_subset = operator == "ISSUBSET"
                    && matches!(comparison.holds, Holds::Exactly(Kind::Ipv4 | Kind::Ipv6));
                let indexable = operator == "=" || operator == "IN" || is_subset;
                if operator == "=" && !comparison.negated {
                    found.equalities += 1;
                }
                let set = operator == "IN";
                if set && tokens.next()? != Some(Token::Sign("(")) {
                    return Err(tokens.malformed("\"(\" after IN"));
                }
                loop {
                    let literal = tokens.next()?;
                    match literal {
                        Some(Token::Text(text)) => {
                            count()?;
                            found.literal(&comparison, &operator, indexable, &text);
                        }
                        Some(Token::Number(number)) => {
                            count()?;
                            observation.number(&comparison, &operator, &number, &mut found);
                        }
                        Some(Token::Prefixed | Token::Word(_)) => {
                            count()?;
                            found.skip(&comparison, "it compares with no plain string");
                        }
                        _ => {
                            return Err(tokens.malformed("a literal after the comparison"));
                        }
                    }
                    if !set {
                        break;
                    }
                    match tokens.next()? {
                        Some(Token::Sign(",")) => {}
                        Some(Token::Sign(")")) => break,
                        _ => {
                            return Err(tokens.malformed("\",\" or \")\" in a set"));
                        }
                    }
                }
            }
            Token::Word(word) if word == "EXISTS" => {
                found.comparisons += 1;
                if let Some(Token::Path { object, steps }) = tokens.next()? {
                    found.not_indexed.push(NotIndexed {
                        path: shown(&object, &steps),
                        reason: "EXISTS names no value".to_owned(),
                    });
                }
            }
            // Qualifiers, connectives and brackets.
            Token::Word(_)
            | Token::Sign(_)
            | Token::Text(_)
            | Token::Number(_)
            | Token::Prefixed => {}
        }
    }
    if found.comparisons == 0 {
        return Err(tokens.malformed("a comparison"));
    }
    Ok(found)
}

/// Reads `NOT`, if it stands there, and the operator.
fn operator(tokens: &mut Tokens<'_>, comparison: &mut Comparison) -> Result<String, PatternError> {
    let mut token = tokens.next()?;
    if token == Some(Token::Word("NOT".to_owned())) {
        comparison.negated = true;
        token = tokens.next()?;
    }
    match token {
        Some(Token::Sign("=" | "==")) => Ok("=".to_owned()),
        Some(Token::Sign(sign @ ("!=" | "<>" | "<" | ">" | "<=" | ">="))) => Ok(sign.to_owned()),
        Some(Token::Word(word))
            if matches!(
                word.as_str(),
                "IN" | "LIKE" | "MATCHES" | "ISSUBSET" | "ISSUPERSET"
            ) =>
        {
            Ok(word)
        }
        _ => Err(tokens.malformed("a comparison operator after an object path")),
    }
}

impl Extracted {
    fn literal(&mut self, comparison: &Comparison, operator: &str, indexable: bool, text: &str) {
        if comparison.negated {
            return self.skip(comparison, "the comparison is negated");
        }
        if !indexable {
            let reason = format!("{operator} is no comparison for equality");
            return self.skip(comparison, &reason);
        }
        let value = match comparison.holds {
            Holds::KindOnly => return,
            Holds::Nothing => return self.skip(comparison, "the path is not one that is searched"),
            Holds::Exactly(kind) => normalise(kind, text),
            Holds::Host => normalise(Kind::Domain, text)
                .or_else(|_| normalise(Kind::Ipv4, text))
                .or_else(|_| normalise(Kind::Ipv6, text)),
        };
        match value {
            Ok(value) => self.values.push(value),
            Err(error) => self.skip(comparison, &error.to_string()),
        }
    }

    fn skip(&mut self, comparison: &Comparison, reason: &str) {
        self.not_indexed.push(NotIndexed {
            path: comparison.path.clone(),
            reason: reason.to_owned(),
        });
    }
}

/// What one pair of square brackets says about a host and a port.
#[derive(Default)]
struct Observation {
    /// How many values stood before it.
    values_before: usize,
    port: Option<u16>,
    /// Nothing but one host and one port, joined by AND.
    plain: bool,
}

impl Observation {
    const fn at(values_before: usize) -> Self {
        Self {
            values_before,
            port: None,
            plain: true,
        }
    }

    fn number(
        &mut self,
        comparison: &Comparison,
        operator: &str,
        number: &str,
        found: &mut Extracted,
    ) {
        let port = number.parse::<u16>().ok().filter(|port| *port != 0);
        let is_port = comparison.path == "network-traffic:dst_port"
            && operator == "="
            && !comparison.negated
            && self.plain;
        match port {
            Some(port) if is_port && self.port.is_none() => self.port = Some(port),
            _ => {
                self.plain = false;
                found.skip(comparison, "it compares with a number");
            }
        }
    }

    /// At the end of an observation: a single host and a single port are one
    /// value; otherwise the port is reported.
    fn join_port(&self, found: &mut Extracted) {
        let Some(port) = self.port else {
            return;
        };
        let alone = self.plain && found.values.len() == self.values_before + 1;
        if alone
            && let Some(value) = found.values.last_mut()
            && let Some(joined) = value.with_port(port)
        {
            *value = joined;
            return;
        }
        found.not_indexed.push(NotIndexed {
            path: "network-traffic:dst_port".to_owned(),
            reason: "a port without a single host is not searched".to_owned(),
        });
    }
}

fn shown(object: &str, steps: &[String]) -> String {
    let path = format!("{object}:{}", steps.join(".").replace(".[", "["));
    path.chars().take(120).collect()
}

/// What kind of value stands at a path.
fn holds(object: &str, steps: &[String]) -> Holds {
    let steps: Vec<&str> = steps
        .iter()
        .map(String::as_str)
        .filter(|step| !step.starts_with('['))
        .collect();
    match (object, steps.as_slice()) {
        ("domain-name", ["value"]) => Holds::Exactly(Kind::Domain),
        ("ipv4-addr", ["value"]) => Holds::Exactly(Kind::Ipv4),
        ("ipv6-addr", ["value"]) => Holds::Exactly(Kind::Ipv6),
        ("url", ["value"]) => Holds::Exactly(Kind::Url),
        ("email-addr", ["value"])
        | (
            "email-message",
            [
                "from_ref" | "sender_ref" | "to_refs" | "cc_refs" | "bcc_refs",
                "value",
            ],
        ) => Holds::Exactly(Kind::Email),
        ("network-traffic", ["dst_ref" | "src_ref", "value"])
        | ("domain-name", ["resolves_to_refs", "value"]) => Holds::Host,
        ("network-traffic", ["dst_ref" | "src_ref", "type"]) => Holds::KindOnly,
        ("file" | "artifact" | "x509-certificate", ["hashes", name]) => {
            hash_kind(name).map_or(Holds::Nothing, Holds::Exactly)
        }
        _ => Holds::Nothing,
    }
}

/// The kind of digest a hash name of STIX stands for (section 10.6.1), also as
/// older tools spell it.
pub(crate) fn hash_kind(name: &str) -> Option<Kind> {
    match name.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
        "MD5" => Some(Kind::Md5),
        "SHA1" => Some(Kind::Sha1),
        "SHA256" => Some(Kind::Sha256),
        "SHA512" => Some(Kind::Sha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
