//! Defanging: writing a live value so that nobody clicks it, and reading the
//! many ways people do that.

use super::{Kind, Value};

/// What stands for what inside a value. Compared without regard to case.
const MARKS: [(&str, &str); 23] = [
    ("[.]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("<.>", "."),
    ("[.", "."),
    (".]", "."),
    ("[dot]", "."),
    ("(dot)", "."),
    ("{dot}", "."),
    ("\\.", "."),
    ("[://]", "://"),
    ("[:]//", "://"),
    ("[:/]/", "://"),
    ("[:]", ":"),
    ("(:)", ":"),
    ("[/]", "/"),
    ("[//]", "//"),
    ("[@]", "@"),
    ("(@)", "@"),
    ("{@}", "@"),
    ("[at]", "@"),
    ("(at)", "@"),
    ("{at}", "@"),
];

/// Schemes as they are spelled to be harmless.
const SCHEMES: [(&str, &str); 8] = [
    ("hxxps:", "https:"),
    ("hxxp:", "http:"),
    ("h**ps:", "https:"),
    ("h**p:", "http:"),
    ("htxps:", "https:"),
    ("htxp:", "http:"),
    ("fxps:", "ftps:"),
    ("fxp:", "ftp:"),
];

/// How many layers of defanging are taken off. People write one, converters
/// sometimes two; without a bound a nest of brackets would cost its square.
const ROUNDS_MAX: usize = 8;

/// Writes a defanged text live again: brackets around dots, colons and signs
/// go, `hxxp` becomes `http`, invisible characters and quotes around it go,
/// and so does punctuation at its end. A live text comes back as it is.
pub fn refang(raw: &str) -> String {
    let mut text: String = raw.chars().filter(|char| !is_invisible(*char)).collect();
    for _ in 0..ROUNDS_MAX {
        let next = once(trim(&text));
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// Whether `raw` is written so that nobody clicks it: whether reading it takes
/// more than trimming what stands around it.
pub fn is_defanged(raw: &str) -> bool {
    let visible: String = raw.chars().filter(|char| !is_invisible(*char)).collect();
    refang(raw) != trim(&visible)
}

fn once(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    for (mark, live) in SCHEMES {
        if starts_with(rest, mark) {
            out.push_str(live);
            rest = rest.get(mark.len()..).unwrap_or_default();
            break;
        }
    }
    while let Some(char) = rest.chars().next() {
        if matches!(char, '[' | '(' | '{' | '<' | '.' | '\\')
            && let Some((mark, live)) = MARKS.iter().find(|(mark, _)| is_mark(&out, rest, mark))
        {
            out.push_str(live);
            rest = rest.get(mark.len()..).unwrap_or_default();
            continue;
        }
        out.push(char);
        rest = rest.get(char.len_utf8()..).unwrap_or_default();
    }
    out
}

/// Whether `mark` stands at the start of `rest`. The halves `[.` and `.]` are
/// marks only between letters or digits, so that brackets of a URL survive.
fn is_mark(before: &str, rest: &str, mark: &str) -> bool {
    if !starts_with(rest, mark) {
        return false;
    }
    if mark != "[." && mark != ".]" {
        return true;
    }
    let after = rest.get(mark.len()..).unwrap_or_default();
    before
        .chars()
        .next_back()
        .is_some_and(char::is_alphanumeric)
        && after.chars().next().is_some_and(char::is_alphanumeric)
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// White space, quotes and punctuation around a value.
fn trim(text: &str) -> &str {
    let mut text = text;
    for _ in 0..ROUNDS_MAX {
        let before = text;
        text = text.trim();
        text = text.trim_start_matches(['"', '\'', '`', '“', '”', '‘', '’', '«', '»', ',', ';']);
        text = text.trim_end_matches([
            '"', '\'', '`', '“', '”', '‘', '’', '«', '»', ',', ';', '.', '…',
        ]);
        for (open, close) in [('<', '>'), ('(', ')'), ('{', '}')] {
            // A bracket at the end that was never opened belongs to the
            // sentence; a pair around everything belongs to nobody.
            if text.ends_with(close) && count(text, close) > count(text, open) {
                text = text.strip_suffix(close).unwrap_or(text);
            }
            if text.starts_with(open) {
                if count(text, open) > count(text, close) {
                    text = text.strip_prefix(open).unwrap_or(text);
                } else if let Some(inner) = text
                    .strip_prefix(open)
                    .and_then(|text| text.strip_suffix(close))
                {
                    text = inner;
                }
            }
        }
        if text == before {
            break;
        }
    }
    text
}

fn count(text: &str, char: char) -> usize {
    text.matches(char).count()
}

/// Characters that show nothing, and the marks of writing direction that come
/// along when a value is copied from a document.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl Value {
    /// The value as people may see it: `hxxp://evil[.]example/`. Reading it
    /// again gives the same value.
    pub fn defanged(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        match self.kind {
            Kind::Domain | Kind::Ipv4 => format!("{}{port}", dots(&self.text)),
            Kind::Ipv6 if self.port.is_some() => format!("[{}]{port}", colons(&self.text)),
            Kind::Ipv6 => colons(&self.text),
            Kind::Cidr => colons(&dots(&self.text)),
            Kind::Email => {
                let (local, domain) = self.text.rsplit_once('@').unwrap_or(("", &self.text));
                format!("{local}[@]{}", dots(domain))
            }
            Kind::Url => {
                let (scheme, rest) = self.text.split_once("://").unwrap_or(("", &self.text));
                let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(cut).unwrap_or((rest, ""));
                let scheme = match scheme {
                    "http" => "hxxp://".to_owned(),
                    "https" => "hxxps://".to_owned(),
                    "ftp" => "fxp://".to_owned(),
                    other => format!("{other}[:]//"),
                };
                format!("{scheme}{}{path}", dots(authority))
            }
            Kind::Md5 | Kind::Sha1 | Kind::Sha256 | Kind::Sha512 => self.text.clone(),
        }
    }
}

fn dots(text: &str) -> String {
    text.replace('.', "[.]")
}

fn colons(text: &str) -> String {
    text.replace(':', "[:]")
}
