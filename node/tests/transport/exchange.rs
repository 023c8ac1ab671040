//! The exchange: one request, one response, whatever the other side does.

use std::time::Duration;

use libp2p::gossipsub::MessageAuthenticity;
use libp2p::request_response::{self, Message};
use libp2p::swarm::SwarmEvent;
use watchfire_node::limits::{
    EXCHANGE_REQUEST_BYTES_MAX, EXCHANGE_RESPONSE_BYTES_MAX, INBOUND_REQUESTS_PER_PEER_MAX,
    OUTBOUND_REQUESTS_PER_PEER_MAX,
};
use watchfire_node::transport::{Command, RequestFailure, ServingRate};

use crate::raw::{Bytes, Raw, SpeechEvent};
use crate::world::{Node, config, keypair, pair, peer, quic};

async fn answer(node: &mut Node, bytes: Vec<u8>) -> Vec<u8> {
    let (_, token, question) = node.request_in().await;
    node.send(Command::Respond { token, bytes }).await;
    question
}

#[tokio::test]
async fn a_request_gets_its_response() {
    for address in [crate::world::tcp(), quic()] {
        let mut config = config();
        config.listen = vec![address];
        let (mut caller, mut called) = pair(config.clone(), config).await;
        caller.request(called.peer(), 7, b"question").await;
        assert_eq!(answer(&mut called, b"answer".to_vec()).await, b"question");
        assert_eq!(caller.response(7).await.unwrap(), b"answer");
        // The other way round over the same connection, at the limits of both.
        called
            .request(caller.peer(), 7, &[1; EXCHANGE_REQUEST_BYTES_MAX])
            .await;
        let question = answer(&mut caller, vec![2; EXCHANGE_RESPONSE_BYTES_MAX]).await;
        assert_eq!(question.len(), EXCHANGE_REQUEST_BYTES_MAX);
        assert_eq!(
            called.response(7).await.unwrap().len(),
            EXCHANGE_RESPONSE_BYTES_MAX
        );
    }
}

#[tokio::test]
async fn responses_find_their_requests_in_any_order() {
    let (mut caller, mut called) = pair(config(), config()).await;
    for number in 0..4_u8 {
        caller
            .request(called.peer(), u64::from(number), &[number])
            .await;
    }
    let mut tokens = Vec::new();
    for _ in 0..4 {
        let (_, token, question) = called.request_in().await;
        tokens.push((token, question));
    }
    for (token, question) in tokens.into_iter().rev() {
        called
            .send(Command::Respond {
                token,
                bytes: question,
            })
            .await;
    }
    for number in 0..4_u8 {
        assert_eq!(caller.response(u64::from(number)).await.unwrap(), [number]);
    }
}

#[tokio::test]
async fn attack_33_a_response_above_what_was_asked_for_is_not_read() {
    let (mut caller, mut called) = pair(config(), config()).await;
    let ask = |request, response_bytes_max| Command::Request {
        peer: peer(2),
        request,
        bytes: b"1 KiB, as announced".to_vec(),
        response_bytes_max,
    };
    caller.send(ask(1, 1_024)).await;
    answer(&mut called, vec![0; 1_025]).await;
    assert_eq!(caller.response(1).await, Err(RequestFailure::TooLarge));
    caller.send(ask(2, 1_024)).await;
    answer(&mut called, vec![0; 1_024]).await;
    assert_eq!(caller.response(2).await.unwrap().len(), 1_024);
}

#[tokio::test]
async fn attack_33_a_response_of_a_gigabyte_is_aborted_at_its_length() {
    let mut node = Node::start(1, config());
    let address = node.listening().await;
    let mut raw = Raw::new(keypair(2), MessageAuthenticity::Anonymous);
    node.admit([(peer(2), vec![])]).await;
    raw.dial(&address);
    raw.subscribed().await;
    node.request(peer(2), 1, b"how much?").await;
    let channel = raw
        .pick("the request arrives", |event| match event {
            SwarmEvent::Behaviour(SpeechEvent::Exchange(request_response::Event::Message {
                message: Message::Request { channel, .. },
                ..
            })) => Some(channel),
            _ => None,
        })
        .await;
    let mut bytes = (1_u32 << 30).to_be_bytes().to_vec();
    bytes.resize(100_000, 0);
    // The stream stays open: only the announced length can end the request.
    raw.swarm
        .behaviour_mut()
        .exchange
        .send_response(
            channel,
            Bytes {
                bytes,
                then_silence: true,
            },
        )
        .unwrap();
    assert_eq!(
        raw.during(node.response(1)).await,
        Err(RequestFailure::TooLarge)
    );
}

#[tokio::test]
async fn a_peer_that_never_answers_is_a_timeout() {
    let mut hasty = config();
    hasty.timing.exchange_within = Duration::from_millis(200);
    let (mut caller, mut called) = pair(hasty, config()).await;
    caller.request(called.peer(), 1, b"question").await;
    let (_, token, _) = called.request_in().await;
    assert_eq!(caller.response(1).await, Err(RequestFailure::Timeout));
    // Its late answer hurts nobody, and the next question is answered.
    called
        .send(Command::Respond {
            token,
            bytes: vec![],
        })
        .await;
    caller.request(called.peer(), 2, b"question").await;
    answer(&mut called, b"in time".to_vec()).await;
    assert_eq!(caller.response(2).await.unwrap(), b"in time");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_fails_at_once() {
    let (mut caller, called) = pair(config(), config()).await;
    caller.request(peer(9), 1, b"nobody there").await;
    assert_eq!(caller.response(1).await, Err(RequestFailure::NotConnected));
    caller
        .request(called.peer(), 2, &[0; EXCHANGE_REQUEST_BYTES_MAX + 1])
        .await;
    assert_eq!(caller.response(2).await, Err(RequestFailure::TooLarge));
    for number in 0..=u64::try_from(OUTBOUND_REQUESTS_PER_PEER_MAX).unwrap() {
        caller.request(called.peer(), 10 + number, b"many").await;
    }
    let last = 10 + u64::try_from(OUTBOUND_REQUESTS_PER_PEER_MAX).unwrap();
    assert_eq!(caller.response(last).await, Err(RequestFailure::Busy));
}

#[tokio::test]
async fn a_request_ends_with_its_connection() {
    let (mut caller, mut called) = pair(config(), config()).await;
    caller.request(called.peer(), 1, b"question").await;
    called.request_in().await;
    called.stop().await;
    assert_eq!(caller.response(1).await, Err(RequestFailure::Disconnected));
}

#[tokio::test]
async fn more_requests_than_one_peer_may_have_are_declined() {
    let mut node = Node::start(1, config());
    let address = node.listening().await;
    let mut raw = Raw::new(keypair(2), MessageAuthenticity::Anonymous);
    node.admit([(peer(2), vec![])]).await;
    raw.dial(&address);
    raw.subscribed().await;
    for _ in 0..INBOUND_REQUESTS_PER_PEER_MAX + 4 {
        raw.swarm
            .behaviour_mut()
            .exchange
            .send_request(&peer(1), Bytes::proper(b"question"));
    }
    for _ in 0..4 {
        let size = raw
            .pick("a request is declined", |event| match event {
                // A declined request ends without a byte of response.
                SwarmEvent::Behaviour(SpeechEvent::Exchange(
                    request_response::Event::Message {
                        message: Message::Response { response, .. },
                        ..
                    },
                )) => Some(response.bytes.len()),
                _ => None,
            })
            .await;
        assert_eq!(size, 0);
    }
    assert_eq!(node.handle.counters().requests_refused, 4);
    for _ in 0..INBOUND_REQUESTS_PER_PEER_MAX {
        raw.during(answer(&mut node, b"answer".to_vec())).await;
    }
    // With room again, the next one is taken.
    raw.swarm
        .behaviour_mut()
        .exchange
        .send_request(&peer(1), Bytes::proper(b"again"));
    assert_eq!(raw.during(answer(&mut node, vec![])).await, b"again");
}

#[tokio::test]
async fn attack_34_a_peer_that_asks_without_end_is_slowed_and_no_other_is() {
    let mut slow = config();
    slow.serving = ServingRate {
        burst_bytes: 500_000,
        per_second_bytes: 1_000_000,
    };
    let mut node = Node::start(1, slow);
    let address = node.listening().await;
    let mut honest = Node::start(2, config());
    let mut raw = Raw::new(keypair(3), MessageAuthenticity::Anonymous);
    node.admit([(peer(2), vec![]), (peer(3), vec![])]).await;
    honest.admit([(peer(1), vec![address.clone()])]).await;
    honest.up(peer(1)).await;
    raw.dial(&address);
    raw.subscribed().await;
    // Six at a time, again and again, until it has to wait; every one of them is answered all the same.
    let mut asked = 0;
    while node.handle.counters().requests_slowed == 0 {
        for _ in 0..6 {
            let question = Bytes::proper(b"question");
            let exchange = &mut raw.swarm.behaviour_mut().exchange;
            exchange.send_request(&peer(1), question);
            asked += 1;
        }
        for _ in 0..6 {
            raw.during(answer(&mut node, vec![0; 100_000])).await;
        }
    }
    // The other is answered while the loud one owes.
    honest.request(peer(1), 1, b"and me?").await;
    assert_eq!(
        raw.during(answer(&mut node, b"you".to_vec())).await,
        b"and me?"
    );
    assert_eq!(raw.during(honest.response(1)).await.unwrap(), b"you");
    assert!(asked >= 6);
    assert_eq!(node.handle.counters().requests_refused, 0);
}
