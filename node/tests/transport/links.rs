//! Links: who is let in, who is sought, and what brings a link back.

use std::time::Duration;

use libp2p::gossipsub::MessageAuthenticity;
use libp2p::swarm::SwarmEvent;
use watchfire_node::transport::{
    Command, Event, TransportConfig, TransportError, Unreachable, start,
};

use crate::meddler::Meddler;
use crate::raw::{Raw, SpeechEvent};
use crate::world::{Node, config, join, keypair, meet, pair, peer, quic, tcp, until};

#[tokio::test]
async fn a_stranger_is_refused_at_the_handshake() {
    let mut node = Node::start(1, config());
    let address = node.listening().await;
    let mut raw = Raw::new(keypair(2), MessageAuthenticity::Anonymous);
    raw.dial(&address);
    let mut heard = false;
    raw.pick("the connection is closed", |event| match event {
        SwarmEvent::Behaviour(SpeechEvent::Gossip(_) | SpeechEvent::Exchange(_)) => {
            heard = true;
            None
        }
        SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
            Some(())
        }
        _ => None,
    })
    .await;
    assert!(!heard, "no protocol may answer a stranger");
    until("the stranger is counted", || {
        node.handle.counters().strangers_refused == 1
    })
    .await;
    // Later on the same path: somebody who is admitted comes in, and the stranger was never told of.
    let friend = Node::start(3, config());
    friend.admit([(node.peer(), vec![address])]).await;
    node.admit([(friend.peer(), vec![])]).await;
    node.up(friend.peer()).await;
    assert!(!node.told(|event| matches!(
        event,
        Event::PeerUp { .. } | Event::Message { .. } | Event::Request { .. }
    )));
}

#[tokio::test]
async fn who_is_not_admitted_there_is_not_up_here() {
    let (mut caller, mut called) = (Node::start(1, config()), Node::start(2, config()));
    let address = called.listening().await;
    caller.admit([(called.peer(), vec![address])]).await;
    until("the stranger is refused twice", || {
        called.handle.counters().strangers_refused >= 2
    })
    .await;
    called.admit([(caller.peer(), vec![])]).await;
    caller.up(called.peer()).await;
    assert!(!caller.told(|event| matches!(event, Event::PeerUp { .. } | Event::PeerDown { .. })));
}

#[tokio::test]
async fn attack_05_another_key_at_the_address_is_refused() {
    for address in [tcp(), quic()] {
        let mut listening = config();
        listening.listen = vec![address];
        let (mut node, mut other) = (Node::start(1, config()), Node::start(2, listening));
        let address = other.listening().await;
        other.admit([(node.peer(), vec![])]).await;
        node.admit([(peer(9), vec![address])]).await;
        let (sought, reason) = node
            .pick("the dial fails", |event| match event {
                Event::Unreachable { peer, reason } => Some((*peer, *reason)),
                _ => None,
            })
            .await;
        assert_eq!(
            (sought, reason),
            (peer(9), Unreachable::WrongPeer { found: peer(2) })
        );
        assert!(!node.told(|event| matches!(event, Event::PeerUp { .. })));
    }
}

#[tokio::test]
async fn a_link_comes_back_when_the_peer_does() {
    let (mut caller, mut called) = (Node::start(1, config()), Node::start(2, config()));
    let address = join(&mut caller, &mut called).await;
    called.stop().await;
    caller.down(peer(2)).await;
    caller
        .pick("nobody is there", |event| {
            matches!(event, Event::Unreachable { .. }).then_some(())
        })
        .await;
    let mut again = config();
    again.listen = vec![address];
    again.admitted = [(caller.peer(), vec![])].into();
    let mut called = Node::start(2, again);
    called.up(caller.peer()).await;
    caller.up(called.peer()).await;
    meet(&caller, &mut called).await;
    meet(&called, &mut caller).await;
}

#[tokio::test]
async fn reconnect_brings_a_new_link() {
    let (mut caller, mut called) = pair(config(), config()).await;
    caller.send(Command::Reconnect(called.peer())).await;
    caller.down(called.peer()).await;
    called.down(caller.peer()).await;
    caller.up(called.peer()).await;
    called.up(caller.peer()).await;
    meet(&caller, &mut called).await;
    meet(&called, &mut caller).await;
}

#[tokio::test]
async fn who_is_removed_is_disconnected_and_stays_out() {
    let (mut caller, mut called) = pair(config(), config()).await;
    called.admit([]).await;
    called.down(caller.peer()).await;
    caller.down(called.peer()).await;
    until("the caller tries in vain", || {
        called.handle.counters().strangers_refused >= 2
    })
    .await;
    called.request(caller.peer(), 1, b"still there?").await;
    assert!(called.response(1).await.is_err());
    called.admit([(caller.peer(), vec![])]).await;
    caller.up(called.peer()).await;
    assert!(
        !called.told(|event| matches!(event, Event::PeerUp { .. })),
        "up is told once, below"
    );
    called.up(caller.peer()).await;
}

#[tokio::test]
async fn two_that_dial_each_other_end_with_one_sound_link() {
    for _ in 0..5 {
        let mut config = config();
        // No difference between who dials first and who second, so that their calls cross.
        config.timing.redial_pause_min = Duration::from_nanos(1);
        let (mut one, mut two) = (Node::start(1, config.clone()), Node::start(2, config));
        let (of_one, of_two) = (one.listening().await, two.listening().await);
        one.admit([(two.peer(), vec![of_two])]).await;
        two.admit([(one.peer(), vec![of_one])]).await;
        one.up(two.peer()).await;
        two.up(one.peer()).await;
        meet(&one, &mut two).await;
        meet(&two, &mut one).await;
    }
}

/// Two nodes joined through a meddler, each with its own idea of how soon silence is death.
async fn through_a_meddler(
    caller: TransportConfig,
    called: TransportConfig,
) -> (Node, Node, Meddler) {
    let (mut caller, mut called) = (Node::start(1, caller), Node::start(2, called));
    let meddler = Meddler::before(&called.listening().await).await;
    called.admit([(caller.peer(), vec![])]).await;
    caller
        .admit([(called.peer(), vec![meddler.address.clone()])])
        .await;
    caller.up(called.peer()).await;
    called.up(caller.peer()).await;
    meet(&caller, &mut called).await;
    (caller, called, meddler)
}

fn watchful() -> TransportConfig {
    let mut config = config();
    config.timing.ping_every = Duration::from_millis(50);
    config.timing.ping_within = Duration::from_millis(300);
    config
}

/// Takes ten seconds: libp2p forgives the first probe, and waits that long for the stream of the second.
#[tokio::test]
async fn a_link_that_swallows_everything_is_found_out_and_replaced() {
    let (mut caller, mut called, meddler) = through_a_meddler(watchful(), watchful()).await;
    meddler.swallow();
    caller.down(called.peer()).await;
    called.down(caller.peer()).await;
    caller.up(called.peer()).await;
    called.up(caller.peer()).await;
    meet(&caller, &mut called).await;
    meet(&called, &mut caller).await;
}

#[tokio::test]
async fn a_peer_that_calls_anew_replaces_its_dead_link() {
    // The called one would not find out for an hour.
    let mut trusting = config();
    trusting.timing.ping_every = Duration::from_secs(3_600);
    trusting.timing.sound_after = Duration::from_millis(1);
    let (mut caller, mut called, meddler) = through_a_meddler(config(), trusting).await;
    meddler.swallow();
    caller.send(Command::Reconnect(called.peer())).await;
    caller.down(called.peer()).await;
    called.down(caller.peer()).await;
    caller.up(called.peer()).await;
    called.up(caller.peer()).await;
    meet(&caller, &mut called).await;
    meet(&called, &mut caller).await;
}

#[tokio::test]
async fn without_memory_nobody_is_called() {
    let mut poor = config();
    poor.memory_bytes_max = 1;
    let (mut caller, mut called) = (Node::start(1, poor), Node::start(2, config()));
    let address = called.listening().await;
    caller.admit([(called.peer(), vec![address])]).await;
    let reason = caller
        .pick("the dial is forbidden", |event| match event {
            Event::Unreachable { reason, .. } => Some(*reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, Unreachable::Limit);
}

#[tokio::test]
async fn a_second_connection_of_a_peer_is_refused_and_the_first_one_stays() {
    let mut node = Node::start(1, config());
    let address = node.listening().await;
    let mut raw = Raw::new(keypair(2), MessageAuthenticity::Anonymous);
    node.admit([(peer(2), vec![])]).await;
    raw.dial(&address);
    raw.subscribed().await;
    raw.dial(&address);
    let left = raw
        .pick("the second one is closed", |event| match event {
            SwarmEvent::ConnectionClosed {
                num_established, ..
            } => Some(num_established),
            _ => None,
        })
        .await;
    assert_eq!(left, 1);
    raw.publish(b"over the first");
    assert_eq!(raw.during(node.message()).await.bytes, b"over the first");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused() {
    let mut taken = config();
    let mut node = Node::start(1, config());
    // QUIC has no way to share a port, so the second one is refused.
    let mut udp = config();
    udp.listen = vec![quic()];
    let mut holder = Node::start(2, udp);
    taken.listen = vec![holder.listening().await];
    assert!(matches!(
        start(taken, keypair(3)),
        Err(TransportError::Listen { .. })
    ));

    let mut crooked = config();
    crooked.gossip.mesh_low = 100;
    assert!(matches!(
        start(crooked, keypair(3)),
        Err(TransportError::Gossip(_))
    ));
    node.listening().await;
}

#[test]
fn without_a_runtime_there_is_no_transport() {
    assert!(matches!(
        start(config(), keypair(1)),
        Err(TransportError::NoRuntime)
    ));
}
