//! The bytes of `docs/wire.md`, as types.
//!
//! A type here says what may be *written*; what it takes for such bytes to be
//! *believed* is the gate's business. Every field with a length carries its
//! bound in its type.

pub mod bounded;
pub mod bundle;
pub mod card;
pub mod chunk_tree;
pub mod codec;
mod contact;
pub mod envelope;
pub mod exchange;
pub mod genesis;
pub mod invitation;
pub mod kind;
pub mod notice;
pub mod packet;
pub mod roster;
pub mod sealing;

pub use bounded::{Bytes, List, Text, TooLong};
pub use bundle::{Audience, Bundle, Encoding, Media, Named, Part, PermissibleActions};
pub use card::{Card, Contact, DutyDesk, NodeCert, Role, Slug};
pub use chunk_tree::{ChunkPath, Root};
pub use envelope::{Binding, Class, Envelope, Header, Inner, Prefix, SignedBytes, Tag};
pub use exchange::{Answer, Request, StreamId};
pub use genesis::{Genesis, GenesisFile, GenesisMember, Quorum};
pub use invitation::Invitation;
pub use kind::Kind;
pub use packet::Packet;
