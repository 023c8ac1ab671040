//! Compressing payloads. Here and not in `protocol`, because the encoder is
//! native code; the decoder over there is not.

/// Level 3, the encoder's own default: higher ones cost more time than the
/// few per cent of bytes are worth.
const LEVEL: i32 = 3;

/// The zstd form of some bytes, one frame with a window of at most 8 MiB.
/// None if the encoder fails; the payload then travels as it is.
pub fn zstd_of(bytes: &[u8]) -> Option<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL).ok()
}

#[cfg(test)]
mod tests {
    use watchfire_protocol::opening::{Draft, Wish};

    #[test]
    fn what_is_encoded_here_is_decoded_there() {
        let objects: Vec<String> = (0..200)
            .map(|at| {
                format!(
                    r#"{{"type":"domain-name","spec_version":"2.1","id":"domain-name--{at:08x}-0000-4000-8000-000000000000","value":"h{at}.example"}}"#
                )
            })
            .collect();
        let stix = format!("[{}]", objects.join(",")).into_bytes();
        let encoded = super::zstd_of(&stix).expect("the encoder works");
        assert!(encoded.len() < stix.len() / 4);
        let wish = Wish {
            flag: Some(watchfire_protocol::marking::Marking::Clear),
            valid_ms: 1,
            exercise: false,
            permissible_actions: None,
            supersedes: None,
        };
        let draft = Draft::prepare(stix, Some(encoded), wish).expect("it is good STIX");
        assert_eq!(draft.opened().rows().len(), 200);
    }
}
