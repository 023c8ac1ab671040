//! The door: open to strangers, and narrow.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libp2p::request_response;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use watchfire_node::limits::{
    DOOR_CONNECTIONS_PER_ADDRESS_MAX, DOOR_REQUEST_BYTES_MAX, DOOR_RESPONSE_BYTES_MAX,
};
use watchfire_node::transport::door::{self, AskError};
use watchfire_node::transport::{Command, Event, TransportConfig};

use crate::raw::{Bytes, Raw, SpeechEvent};
use crate::world::{FEDERATION, Node, config, keypair, peer, quic, socket, soon, tcp, until};

fn with_door(address: Multiaddr) -> TransportConfig {
    let mut config = config();
    config.door = vec![address];
    config
}

async fn knock(node: &mut Node) -> (u64, PeerId, Vec<u8>, Option<IpAddr>) {
    node.pick("somebody knocks", |event| match event {
        Event::DoorRequest {
            token,
            peer,
            bytes,
            remote,
        } => Some((*token, *peer, bytes.clone(), *remote)),
        _ => None,
    })
    .await
}

/// Asks as the node of seed 7.
async fn ask(
    address: Multiaddr,
    expected: Option<PeerId>,
    question: Vec<u8>,
) -> Result<Vec<u8>, AskError> {
    door::ask(&keypair(7), &FEDERATION, address, expected, question).await
}

/// Serves one knock while somebody asks.
async fn asked(
    node: &mut Node,
    address: &Multiaddr,
    expected: Option<PeerId>,
    question: &[u8],
    answer: &[u8],
) -> Result<Vec<u8>, AskError> {
    let serve = async {
        let (token, who, bytes, remote) = knock(node).await;
        assert_eq!(who, peer(7));
        assert_eq!(bytes, question);
        assert_eq!(remote, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        node.send(Command::DoorRespond {
            token,
            bytes: answer.to_vec(),
        })
        .await;
    };
    let (outcome, ()) = tokio::join!(ask(address.clone(), expected, question.to_vec()), serve);
    outcome
}

#[tokio::test]
async fn a_stranger_is_answered_at_the_door() {
    for address in [tcp(), quic()] {
        let mut node = Node::start(1, with_door(address));
        let door = node.door().await;
        for expected in [None, Some(peer(1))] {
            let question = vec![1; DOOR_REQUEST_BYTES_MAX];
            let answer = vec![2; DOOR_RESPONSE_BYTES_MAX];
            assert_eq!(
                asked(&mut node, &door, expected, &question, &answer)
                    .await
                    .unwrap(),
                answer
            );
        }
    }
}

#[tokio::test]
async fn attack_05_the_door_of_somebody_else_is_refused() {
    let mut node = Node::start(1, with_door(tcp()));
    let door = node.door().await;
    let error = ask(door, Some(peer(9)), b"genesis?".to_vec())
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::WrongPeer { found } if found == peer(1)));
}

#[tokio::test]
async fn where_no_door_is_nobody_answers() {
    let mut node = Node::start(1, config());
    let main = node.listening().await;
    // The main port is no door: it lets no stranger in.
    let error = ask(main, None, b"genesis?".to_vec()).await.unwrap_err();
    assert!(matches!(error, AskError::Declined), "{error:?}");
    node.stop().await;
    let closed: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    assert!(matches!(
        ask(closed, None, vec![]).await.unwrap_err(),
        AskError::NoAnswer
    ));
}

#[tokio::test]
async fn the_door_of_another_federation_declines() {
    let mut node = Node::start(1, with_door(tcp()));
    let door = node.door().await;
    let error = door::ask(&keypair(7), &[0xee; 32], door, None, vec![])
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::Declined), "{error:?}");
}

#[tokio::test]
async fn too_large_a_question_or_answer_does_not_pass() {
    let mut node = Node::start(1, with_door(tcp()));
    let door = node.door().await;
    let large = vec![0; DOOR_REQUEST_BYTES_MAX + 1];
    assert!(matches!(
        ask(door.clone(), None, large).await.unwrap_err(),
        AskError::QuestionTooLarge(4_097)
    ));
    let too_much = vec![0; DOOR_RESPONSE_BYTES_MAX + 1];
    let error = asked(&mut node, &door, None, b"genesis?", &too_much)
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::Declined), "{error:?}");

    // Whoever does not keep to it is cut off, and the owner never hears of it.
    let mut raw = Raw::knocking();
    raw.dial(&door);
    raw.connected().await;
    let request = Bytes::proper(&[0; DOOR_REQUEST_BYTES_MAX + 1]);
    raw.swarm
        .behaviour_mut()
        .exchange
        .send_request(&peer(1), request);
    raw.pick("the stream ends", |event| match event {
        SwarmEvent::Behaviour(SpeechEvent::Exchange(
            request_response::Event::OutboundFailure { .. }
            | request_response::Event::Message { .. },
        )) => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(
        asked(&mut node, &door, None, b"genesis?", b"here")
            .await
            .unwrap(),
        b"here"
    );
}

#[tokio::test]
async fn a_slow_guest_is_shown_out() {
    let mut config = with_door(tcp());
    config.timing.door_within = Duration::from_millis(200);
    config.timing.door_idle = Duration::from_millis(200);
    config.timing.door_connection_within = Duration::from_secs(3_600);
    let mut node = Node::start(1, config);
    let door = node.door().await;
    // One says nothing at all.
    let mut silent = TcpStream::connect(socket(&door)).await.unwrap();
    soon(
        "the silent one is cut off",
        silent.read_to_end(&mut Vec::new()),
    )
    .await
    .ok();
    // One connects and asks nothing.
    let mut raw = Raw::knocking();
    raw.dial(&door);
    raw.closed().await;
    // One begins a question and does not end it.
    raw.dial(&door);
    raw.connected().await;
    let unfinished = Bytes {
        bytes: b"\0\0\0\x09unf".to_vec(),
        then_silence: true,
    };
    raw.swarm
        .behaviour_mut()
        .exchange
        .send_request(&peer(1), unfinished);
    raw.closed().await;
    assert!(!node.told(|event| matches!(event, Event::DoorRequest { .. })));
}

#[tokio::test]
async fn a_guest_who_never_stops_is_shown_out() {
    let mut config = with_door(tcp());
    config.timing.door_connection_within = Duration::from_millis(300);
    config.timing.door_within = Duration::from_secs(3_600);
    config.timing.door_idle = Duration::from_secs(3_600);
    let mut node = Node::start(1, config);
    let door = node.door().await;
    let mut raw = Raw::knocking();
    raw.dial(&door);
    raw.connected().await;
    let unfinished = Bytes {
        bytes: b"\0\0\0\x09unf".to_vec(),
        then_silence: true,
    };
    raw.swarm
        .behaviour_mut()
        .exchange
        .send_request(&peer(1), unfinished);
    raw.closed().await;
    assert!(node.handle.counters().door_connections_refused > 0);
}

#[tokio::test]
async fn one_address_cannot_block_the_door_and_gets_its_places_back() {
    let mut config = with_door(tcp());
    config.timing.door_within = Duration::from_secs(3_600);
    let mut node = Node::start(1, config);
    let door = node.door().await;
    let mut held = Vec::new();
    for _ in 0..DOOR_CONNECTIONS_PER_ADDRESS_MAX {
        held.push(TcpStream::connect(socket(&door)).await.unwrap());
    }
    let mut surplus = TcpStream::connect(socket(&door)).await.unwrap();
    soon(
        "the surplus one is cut off",
        surplus.read_to_end(&mut Vec::new()),
    )
    .await
    .ok();
    assert_eq!(node.handle.counters().door_connections_refused, 1);
    assert!(ask(door.clone(), None, b"genesis?".to_vec()).await.is_err());
    let refused = node.handle.counters().door_connections_refused;
    drop(held);
    // The door counts an unfinished handshake when it ends.
    until("the places are free", || {
        node.handle.counters().door_connections_refused
            >= refused + u64::try_from(DOOR_CONNECTIONS_PER_ADDRESS_MAX).unwrap()
    })
    .await;
    assert_eq!(
        asked(&mut node, &door, None, b"genesis?", b"here")
            .await
            .unwrap(),
        b"here"
    );
}
