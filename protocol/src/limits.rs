//! Every bound of the protocol, with its reason and its arithmetic.

/// Deepest nesting of JSON that is read. STIX in the wild stays below 12; the
/// bound keeps a hostile document from using the stack.
pub const JSON_DEPTH_MAX: usize = 64;

// STIX documents, patterns and values.

/// Largest STIX document that is read, in bytes. 150,000 indicators of about
/// 600 bytes are 90 MB; the bound is twice that, so that the promise "whole or
/// an explicit error" holds with room to spare.
pub const STIX_DOCUMENT_BYTES_MAX: usize = 192 * 1024 * 1024;

/// Most objects in one STIX document: 150,000 indicators with their
/// identities, markings and a third as many relationships.
pub const STIX_OBJECTS_MAX: usize = 200_000;

/// Largest single STIX object, in bytes. A tree of parsed JSON takes up to
/// some twenty times its source, so one object costs at most about 20 MiB
/// while it is looked at, whatever the document weighs.
pub const STIX_OBJECT_BYTES_MAX: usize = 1024 * 1024;

/// Longest object id, in bytes: a type of at most 219 characters, `--`, and a
/// UUID of 36, rounded to a power of two.
pub const STIX_ID_BYTES_MAX: usize = 256;

/// Most members of the outermost object of a document. A bundle has four; a
/// single object has some tens; the bound keeps the duplicate check small.
pub const STIX_DOCUMENT_MEMBERS_MAX: usize = 4_096;

/// Longest short name made for lists, in characters: one line of a terminal.
pub const STIX_NAME_CHARS_MAX: usize = 200;

/// Longest STIX pattern whose literals are indexed, in bytes: 64 KiB holds
/// about 700 SHA-256 comparisons.
pub const PATTERN_BYTES_MAX: usize = 64 * 1024;

/// Most literals taken from one pattern. The shortest comparison takes some
/// seven bytes, so 64 KiB cannot hold more than about this many.
pub const PATTERN_LITERALS_MAX: usize = 10_000;

/// Longest text that is examined as one indicator value, in bytes: a URL of
/// the largest size, every character of it written in defanged form.
pub const INDICATOR_RAW_BYTES_MAX: usize = 4 * INDICATOR_URL_BYTES_MAX;

/// Longest URL, in bytes: twice what browsers agree on.
pub const INDICATOR_URL_BYTES_MAX: usize = 4_096;

/// Longest domain name in text form, in bytes (RFC 1035, section 3.1).
pub const INDICATOR_DOMAIN_BYTES_MAX: usize = 253;

/// Longest label of a domain name, in bytes (RFC 1035, section 2.3.4).
pub const INDICATOR_LABEL_BYTES_MAX: usize = 63;

/// Longest e-mail address, in bytes: 64 for the local part, `@`, 255 for the
/// domain (RFC 5321, section 4.5.3.1).
pub const INDICATOR_EMAIL_BYTES_MAX: usize = 320;

/// Most entries (lines, rows, words that look like values) one import settles:
/// twice the objects of a document, so that repeated values are no obstacle. A
/// refused entry is kept with its reason, some 400 bytes, so an account stays
/// below 160 MB whatever the file holds.
pub const IMPORT_ENTRIES_MAX: u64 = 400_000;
