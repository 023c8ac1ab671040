//! Prose: reports, mails, posts, with values in them.
//!
//! A report names many things that are no indicators. So only what its author
//! marked as dangerous counts: defanged values, and besides them digests and
//! addresses, which nothing else looks like. A live link counts only in a text
//! that defangs nothing; beside defanged values it is a reference. What looks
//! like a value and is not taken stands in the account.

use watchfire_protocol::indicator::{self, Kind, Value};
use watchfire_protocol::limits::INDICATOR_RAW_BYTES_MAX;

use super::ImportError;
use super::collect::{Collector, Context};

/// Takes what counts as a value from every word of `text`.
pub(super) fn read(text: &str, collector: &mut Collector<'_>) -> Result<(), ImportError> {
    let defangs = words(text).any(|(_, word)| is_marked(word) && indicator::detect(word).is_ok());
    for (line, word) in words(text) {
        match judge(word, defangs) {
            Judgement::Value(value) => collector.value(line, word, value, &Context::default())?,
            Judgement::Refused(reason) => collector.refuse(line, word, reason)?,
            Judgement::Nothing => {}
        }
    }
    Ok(())
}

/// What one word is.
enum Judgement {
    Value(Value),
    Refused(String),
    Nothing,
}

fn judge(word: &str, defangs: bool) -> Judgement {
    if let Some(unc) = unc_host(word) {
        return match indicator::detect(&unc) {
            Ok(value) if is_marked(&unc) || is_address(value.kind()) => Judgement::Value(value),
            Ok(_) | Err(_) => Judgement::Nothing,
        };
    }
    let found = indicator::detect(word);
    if is_marked(word) {
        return match found {
            Ok(value) if is_cut_off(&value) => Judgement::Refused(
                "a placeholder in brackets stands in it: the value is not whole".to_owned(),
            ),
            Ok(value) => Judgement::Value(value),
            Err(error) => Judgement::Refused(error.to_string()),
        };
    }
    let Ok(value) = found else {
        return Judgement::Nothing;
    };
    match value.kind() {
        Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => Judgement::Value(value),
        Kind::Ipv4 | Kind::Cidr => Judgement::Value(value),
        // `::` and the like stand in source code.
        Kind::Ipv6 if value.text().len() < 6 => Judgement::Nothing,
        Kind::Ipv6 => Judgement::Value(value),
        Kind::Url if !word.contains("://") => plain(&value),
        Kind::Url if defangs => Judgement::Refused(
            "a live link in a text that defangs its indicators: taken as a reference".to_owned(),
        ),
        Kind::Url => Judgement::Value(value),
        Kind::Domain | Kind::Email => plain(&value),
    }
}

/// A name without any mark: a file, an abbreviation, or an indicator that the
/// author forgot to defang. The last is for a person to say.
fn plain(value: &Value) -> Judgement {
    if value.has_known_suffix() {
        Judgement::Refused(
            "written plainly, not defanged: publish it on its own if it is an indicator".to_owned(),
        )
    } else {
        Judgement::Nothing
    }
}

/// Whether a bracket opens in a URL's path and never closes: `?a=[base64 text]`
/// is two words, and the first is no URL.
fn is_cut_off(value: &Value) -> bool {
    let text = value.text();
    value.kind() == Kind::Url && text.matches('[').count() > text.matches(']').count()
}

const fn is_address(kind: Kind) -> bool {
    matches!(kind, Kind::Ipv4 | Kind::Ipv6)
}

/// Whether the word carries a mark of defanging. A backslash before a dot is
/// one in regular expressions and in Windows paths alike, so in prose it does
/// not count.
fn is_marked(word: &str) -> bool {
    indicator::is_defanged(&word.replace('\\', ""))
}

/// `\\host@port\share\file`, the way Windows names a WebDAV share: the host.
fn unc_host(word: &str) -> Option<String> {
    let rest = word.strip_prefix("\\\\")?;
    let host = rest.split('\\').next()?;
    match host.split_once('@') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("{host}:{port}"))
        }
        Some((host, _)) => Some(host.to_owned()),
        None => Some(host.to_owned()),
    }
}

/// Every word with its line, without what surrounds it in a sentence.
fn words(text: &str) -> impl Iterator<Item = (u64, &str)> {
    (1..).zip(text.lines()).flat_map(|(line, text)| {
        text.split(|char: char| char.is_whitespace() || matches!(char, '|' | '"' | '`'))
            .map(|word| word.trim_end_matches([':', '!', ',', ';', '.', '\'']))
            // Nothing shorter is a value, and nothing longer is one either:
            // that is an encoded attachment.
            .filter(|word| (4..=INDICATOR_RAW_BYTES_MAX).contains(&word.len()))
            .map(move |word| (line, word))
    })
}
