//! Bytes by hand: hexadecimal, and the codec's encodings written out again.

/// Hexadecimal, lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal; nothing else may stand there.
///
/// # Panics
/// When the text is not hexadecimal.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.is_ascii() && text.len().is_multiple_of(2), "not hexadecimal: {text:.40}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Writes the codec's encodings, as `docs/wire.md` describes them.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Nothing written yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// An integer, in the shortest form that fits.
    #[must_use]
    pub fn integer(self, value: u64) -> Self {
        let bytes = value.to_le_bytes();
        match value {
            0..=250 => self.raw(&bytes[..1]),
            251..=0xffff => self.raw(&[251]).raw(&bytes[..2]),
            0x1_0000..=0xffff_ffff => self.raw(&[252]).raw(&bytes[..4]),
            0x1_0000_0000.. => self.raw(&[253]).raw(&bytes),
        }
    }

    /// A length, and as many bytes.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.integer(bytes.len() as u64).raw(bytes)
    }

    /// An option of bytes.
    #[must_use]
    pub fn option(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.raw(&[1]).bytes(bytes),
            None => self.raw(&[0]),
        }
    }

    /// What was written.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// Every way to write one byte of an encoding longer, as if it were an
/// integer: where it is one, the value is the same and only its form is not
/// minimal.
pub fn longer_integers(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut variants = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        let (before, after) = (&bytes[..at], &bytes[at + 1..]);
        let digits = match byte {
            0..=250 => 0,
            251 => 2,
            252 => 4,
            253..=255 => continue,
        };
        if after.len() < digits {
            continue;
        }
        let (value, after) = if digits == 0 { (std::slice::from_ref(byte), after) } else { after.split_at(digits) };
        for (marker, width) in [(251, 2), (252, 4), (253, 8)] {
            if width > digits {
                let mut value = value.to_vec();
                value.resize(width, 0);
                variants.push([before, &[marker], &value, after].concat());
            }
        }
    }
    variants
}
