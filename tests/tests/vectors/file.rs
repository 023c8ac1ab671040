//! The format of a vector: lines of `name: value`, long bytes below their name.

use watchfire_tests::bytes::{hex, unhex};

/// Digits on a line.
const DIGITS: usize = 120;
/// From here on equal bytes are counted instead of written.
const RUN_BYTES_MIN: usize = 48;

/// A vector: fields in order, of which some may repeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vector(Vec<(String, String)>);

impl Vector {
    /// Begins with what it is and which test it is for.
    pub(crate) fn new(what: &str, test: &str) -> Self {
        Self::default().with("what", what).with("test", test)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        assert!(!value.contains('\n') && !value.is_empty(), "{name} is one line");
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn with_bytes(mut self, name: &str, bytes: &[u8]) -> Self {
        self.0.push((name.to_owned(), lines_of(bytes).join("\n")));
        self
    }

    /// The one value of this name.
    pub(crate) fn text(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name}, in {}", self.0[0].1);
        all[0]
    }

    /// Every value of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of this name, as bytes.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        bytes_of(self.text(name))
    }

    /// The one value of this name, as a number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap()
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            text.push_str(name);
            text.push(':');
            let lines: Vec<&str> = value.split('\n').collect();
            if let [line] = lines.as_slice() {
                text.push_str(&format!(" {line}\n"));
            } else {
                text.push('\n');
                lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
            }
        }
        text
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if let Some(more) = line.strip_prefix("  ") {
                let (_, value) = fields.last_mut().unwrap();
                if !value.is_empty() {
                    value.push('\n');
                }
                value.push_str(more);
            } else {
                let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
                fields.push((name.to_owned(), value.trim_start().to_owned()));
            }
        }
        Self(fields)
    }
}

/// Bytes as lines: hexadecimal, or `1024 times 00`, or `nothing`.
fn lines_of(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let run = rest.iter().take_while(|byte| *byte == first).count();
        if run >= RUN_BYTES_MIN {
            lines.push(format!("{run} times {first:02x}"));
            rest = &rest[run..];
            continue;
        }
        let starts_run = |at: &usize| {
            rest[*at..].len() >= RUN_BYTES_MIN && rest[*at..*at + RUN_BYTES_MIN].iter().all(|byte| *byte == rest[*at])
        };
        let plain = (0..rest.len()).find(starts_run).unwrap_or(rest.len());
        let text = hex(&rest[..plain]);
        lines.extend(text.as_bytes().chunks(DIGITS).map(|line| String::from_utf8(line.to_vec()).unwrap()));
        rest = &rest[plain..];
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

/// The bytes of such lines.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    text.lines()
        .flat_map(|line| match line.split_once(" times ") {
            Some((times, byte)) => unhex(byte).repeat(times.parse().unwrap()),
            None if line == "nothing" => Vec::new(),
            None => unhex(line),
        })
        .collect()
}

#[test]
fn a_vector_reads_as_it_was_written() {
    let cases = [vec![], vec![0], vec![7; 47], vec![7; 48], [vec![1, 2], vec![0; 300], vec![3; 500], vec![9; 5]].concat()];
    for bytes in cases {
        let vector = Vector::new("a case", "frame").with_bytes("frame", &bytes).with("rule", "a: b");
        let read = Vector::parse(&vector.render());
        assert_eq!(read, vector);
        assert_eq!(read.bytes("frame"), bytes);
        assert_eq!(read.text("rule"), "a: b");
    }
}
