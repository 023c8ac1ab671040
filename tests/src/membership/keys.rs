//! Public keys: points, their second names, and weak ones.

use super::{Case, Subject};
use crate::bytes::unhex;

/// A point of order 8 and others of small order, and second names of points.
pub(super) const WEAK: [(&str, &str, &str, &str); 11] = [
    ("key-neutral", "the neutral point, order 1", "small-order", "0100000000000000000000000000000000000000000000000000000000000000"),
    ("key-of-order-2", "order 2", "small-order", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("key-of-order-4", "order 4", "small-order", "0000000000000000000000000000000000000000000000000000000000000000"),
    ("key-of-order-4-negative", "order 4, the other one", "small-order", "0000000000000000000000000000000000000000000000000000000000000080"),
    ("key-of-order-8", "order 8", "small-order", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    ("key-of-order-8-second", "order 8, another one", "small-order", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
    ("key-neutral-with-sign", "x is 0 and has a sign", "not-canonical", "0100000000000000000000000000000000000000000000000000000000000080"),
    ("key-over-the-prime", "y is the prime itself: a second name for 0", "not-canonical", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("key-neutral-over-the-prime", "y is the prime and 1: a second name for 1", "not-canonical", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    ("key-not-a-point", "no point has this y", "not-a-point", "0200000000000000000000000000000000000000000000000000000000000000"),
    ("key-second-name-of-a-good-one", "y is the prime and 3, of a point of large order", "not-canonical", "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
];

pub(super) fn cases() -> Vec<Case> {
    // RFC 8032, section 7.1, tests 1 and 2.
    let good = [
        ("key-of-rfc-8032-test-1", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
        ("key-of-rfc-8032-test-2", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
    ];
    let good = good.into_iter().map(|(name, key)| Case {
        name,
        what: "an ordinary key",
        subject: Subject::Key,
        bytes: unhex(key),
        outcome: Ok(key.to_owned()),
    });
    let weak = WEAK.into_iter().map(|(name, what, rule, key)| Case {
        name,
        what,
        subject: Subject::Key,
        bytes: unhex(key),
        outcome: Err((rule, "public key refused")),
    });
    good.chain(weak).collect()
}
