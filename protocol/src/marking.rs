//! TLP 2.0 labels, spelled and ordered as FIRST spells and orders them.

use core::fmt;

/// A TLP 2.0 label. The order is strictness: a later one reaches no further
/// than an earlier one, so the effective marking of several is their maximum.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum Marking {
    /// May go to anyone.
    Clear,
    /// May go to the community.
    Green,
    /// May go to the recipient's organisation and its clients, need-to-know.
    Amber,
    /// May go to the recipient's organisation only.
    AmberStrict,
    /// For the named people only.
    Red,
}

impl Marking {
    /// Every label, least strict first.
    pub const ALL: [Self; 5] = [
        Self::Clear,
        Self::Green,
        Self::Amber,
        Self::AmberStrict,
        Self::Red,
    ];

    /// The label as FIRST writes it, `TLP:AMBER+STRICT`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Clear => "TLP:CLEAR",
            Self::Green => "TLP:GREEN",
            Self::Amber => "TLP:AMBER",
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Red => "TLP:RED",
        }
    }

    /// Reads a label a person typed: any case, with or without `TLP:`,
    /// `WHITE` as the old name of CLEAR. Anything else is no label.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        match upper.strip_prefix("TLP:").unwrap_or(&upper) {
            "CLEAR" | "WHITE" => Some(Self::Clear),
            "GREEN" => Some(Self::Green),
            "AMBER" => Some(Self::Amber),
            "AMBER+STRICT" => Some(Self::AmberStrict),
            "RED" => Some(Self::Red),
            _ => None,
        }
    }
}

impl fmt::Display for Marking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_back() {
        for marking in Marking::ALL {
            assert_eq!(Marking::parse(marking.label()), Some(marking));
        }
        assert_eq!(Marking::parse(" tlp:white "), Some(Marking::Clear));
        assert_eq!(Marking::parse("TLP:AMBER STRICT"), None);
        assert_eq!(Marking::parse(""), None);
    }
}
