//! Every bound of the protocol, with its reason and its arithmetic.

/// Deepest nesting of JSON that is read. STIX in the wild stays below 12; the
/// bound keeps a hostile document from using the stack.
pub const JSON_DEPTH_MAX: usize = 64;
