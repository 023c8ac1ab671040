//! Byte strings, texts and lists that carry their bound in their type, so that
//! a length from outside is checked before anything is allocated for it.

use bincode::BorrowDecode;
use bincode::Decode;
use bincode::Encode;
use bincode::de::BorrowDecoder;
use bincode::de::Decoder;
use bincode::de::read::Reader;
use bincode::enc::Encoder;
use bincode::error::DecodeError;
use bincode::error::EncodeError;
use core::fmt;

/// A value is longer than its field may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} where at most {length_max} are allowed")]
pub struct TooLong {
    /// Its length: bytes of a text or byte string, items of a list.
    pub length: usize,
    /// What the field allows.
    pub length_max: usize,
}

fn within(length: usize, length_max: usize) -> Result<(), TooLong> {
    if length > length_max {
        Err(TooLong { length, length_max })
    } else {
        Ok(())
    }
}

/// Reads a length and refuses one over the bound.
fn decode_length<D: Decoder>(decoder: &mut D, length_max: usize) -> Result<usize, DecodeError> {
    let length = u64::decode(decoder)?;
    match usize::try_from(length) {
        Ok(length) if length <= length_max => Ok(length),
        _ => Err(DecodeError::OtherString(format!(
            "length {length} where at most {length_max} are allowed"
        ))),
    }
}

/// At most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// Takes bytes that fit.
    ///
    /// # Errors
    /// When there are more than `MAX`.
    pub fn new(bytes: Vec<u8>) -> Result<Self, TooLong> {
        within(bytes.len(), MAX)?;
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Contents may be confidential, so only the length is printed.
impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<const MAX: usize> Encode for Bytes<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C, const MAX: usize> Decode<C> for Bytes<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let length = decode_length(decoder, MAX)?;
        decoder.claim_bytes_read(length)?;
        // Taken from what is there: a claimed length alone reserves nothing.
        let reader = decoder.reader();
        let bytes = reader
            .peek_read(length)
            .ok_or(DecodeError::UnexpectedEnd { additional: length })?
            .to_vec();
        reader.consume(length);
        Ok(Self(bytes))
    }
}

impl<'de, C, const MAX: usize> BorrowDecode<'de, C> for Bytes<MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// UTF-8 of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Takes text that fits.
    ///
    /// # Errors
    /// When it is longer than `MAX` bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        within(text.len(), MAX)?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> Encode for Text<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C, const MAX: usize> Decode<C> for Text<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = Bytes::<MAX>::decode(decoder)?;
        match String::from_utf8(bytes.0) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(DecodeError::Other("text is not UTF-8")),
        }
    }
}

impl<'de, C, const MAX: usize> BorrowDecode<'de, C> for Text<MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// At most `MAX` items.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct List<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> List<T, MAX> {
    /// Takes items that fit.
    ///
    /// # Errors
    /// When there are more than `MAX`.
    pub fn new(items: Vec<T>) -> Result<Self, TooLong> {
        within(items.len(), MAX)?;
        Ok(Self(items))
    }

    /// The items.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The items, owned.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// Goes through the items.
    pub fn iter(&self) -> core::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Ord, const MAX: usize> List<T, MAX> {
    /// Whether the items ascend strictly: the only form of a set on the wire.
    pub fn is_set(&self) -> bool {
        self.0
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a < b))
    }
}

impl<T: Encode, const MAX: usize> Encode for List<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        u64::try_from(self.0.len())
            .unwrap_or(u64::MAX)
            .encode(encoder)?;
        self.0.iter().try_for_each(|item| item.encode(encoder))
    }
}

impl<C, T: Decode<C>, const MAX: usize> Decode<C> for List<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        const {
            assert!(
                size_of::<T>() > 0,
                "a list of zero-sized items would cost time without costing bytes"
            );
        }
        let length = decode_length(decoder, MAX)?;
        // Grown as items really arrive: a claimed length alone reserves nothing.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(T::decode(decoder)?);
        }
        Ok(Self(items))
    }
}

impl<'de, C, T: Decode<C>, const MAX: usize> BorrowDecode<'de, C> for List<T, MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}
