//! Identities. All are full 32-byte SHA-256 values: a shortened id is for
//! people's eyes and never a key, so that a collision of prefixes confuses
//! nothing.

use core::fmt;

/// Declares an id: its own type, so that an envelope id never stands where a
/// bundle id is meant.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes that are already such an id.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight hexadecimal digits, for people's eyes only.
            pub fn short(&self) -> String {
                hex::encode(self.0.iter().take(4).copied().collect::<Vec<u8>>())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl core::str::FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnId)?;
                Ok(Self(bytes))
            }
        }
    };
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected 64 hexadecimal digits")]
pub struct NotAnId;

id_type!(
    /// The hash of the genesis statement; compared out of band.
    FederationId
);
id_type!(
    /// A member for as long as it is one: the hash of the root key it was first
    /// admitted with. A slug is for people and may change; this does not.
    MemberId
);
id_type!(
    /// A node: SHA-256 of its transport public key.
    NodeId
);
id_type!(
    /// An envelope: hash of its signed outer header. Chains, frontiers and
    /// relay purges speak of envelopes.
    EnvelopeId
);
id_type!(
    /// A bundle: hash of its inner statement. Receipts, versions and search
    /// speak of bundles.
    BundleId
);
id_type!(
    /// A card: hash of its statement.
    CardId
);
id_type!(
    /// A node certificate: hash of its statement. Statements cite it, so two
    /// certificates of one serial are never confused.
    CertificateId
);
id_type!(
    /// A prekey: hash of its statement.
    PrekeyId
);
id_type!(
    /// A grant: hash of its statement. It names the audience key that was
    /// granted.
    GrantId
);
id_type!(
    /// A roster: hash of its statement; of epoch 0, of the genesis.
    RosterId
);
