//! What the pools give back, and work that is given to the openers so that it
//! cannot end them.

use watchfire_protocol::engine::{ClientToken, Damage, Done, Input};
use watchfire_protocol::opening::{Draft, OpenRefusal, PrepareError};
use watchfire_protocol::store::StoreError;
use watchfire_protocol::table::Arrival;

/// A result of the pool.
pub(crate) enum Ready {
    /// What came by gossip, taken through the gate.
    Input(Box<Input>),
    Done(Box<Done>),
    /// What damaged values were.
    Examined(Result<Vec<Damage>, StoreError>),
    Draft {
        client: ClientToken,
        draft: Box<Result<Draft, PrepareError>>,
    },
}

/// A decoder is another's code: should it panic on what somebody sent, that
/// bundle is refused, and the next one opened.
pub(super) fn unless_it_panics(arrival: Arrival, open: impl FnOnce() -> Done) -> Done {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|_| Done::Opened {
        arrival,
        bundle: None,
        outcome: Err(OpenRefusal::Encoding {
            why: "the decoder failed".to_owned(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_refuses_one_bundle() {
        let done = unless_it_panics(7, || panic!("as another's code may"));
        assert!(matches!(
            done,
            Done::Opened {
                arrival: 7,
                outcome: Err(OpenRefusal::Encoding { .. }),
                ..
            }
        ));
    }
}
