//! What hostile bytes and hostile peers do to one connection, and not to the others.

use libp2p::gossipsub::{IdentTopic, MessageAuthenticity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchfire_node::limits::PENDING_PER_ADDRESS_MAX;
use watchfire_node::transport::Event;

use crate::meddler::Meddler;
use crate::raw::Raw;
use crate::scribe::{garbage, scribble, wire};
use crate::world::{Node, config, join, keypair, meet, pair, peer, socket, soon, topic, until};

#[tokio::test]
async fn attack_35_garbage_on_the_port_ends_only_its_own_connection() {
    let (mut caller, mut called) = (Node::start(1, config()), Node::start(2, config()));
    let address = join(&mut caller, &mut called).await;
    for length in [1, 2, 100, 65_536] {
        let mut stream = TcpStream::connect(socket(&address)).await.unwrap();
        // Either the bytes are taken or the connection is closed while they are sent.
        stream.write_all(&garbage(length)).await.ok();
        stream.shutdown().await.ok();
        soon(
            "the connection is closed",
            stream.read_to_end(&mut Vec::new()),
        )
        .await
        .ok();
    }
    until("all four are counted", || {
        called.handle.counters().connections_refused == 4
    })
    .await;
    meet(&caller, &mut called).await;
    assert!(!called.told(|event| matches!(event, Event::PeerDown { .. })));
    assert!(!caller.told(|event| matches!(event, Event::PeerDown { .. })));
}

#[tokio::test]
async fn attack_35_a_spoiled_byte_in_the_noise_stream_ends_only_its_own_connection() {
    let (mut victim, mut bystander, mut node) = (
        Node::start(1, config()),
        Node::start(2, config()),
        Node::start(3, config()),
    );
    let address = node.listening().await;
    let meddler = Meddler::before(&address).await;
    node.admit([(victim.peer(), vec![]), (bystander.peer(), vec![])])
        .await;
    victim
        .admit([(node.peer(), vec![meddler.address.clone()])])
        .await;
    bystander.admit([(node.peer(), vec![address])]).await;
    for other in [&mut victim, &mut bystander] {
        other.up(node.peer()).await;
        node.up(other.peer()).await;
        meet(other, &mut node).await;
    }
    meddler.spoil_one();
    victim.publish(*b"this one is spoiled").await;
    node.down(victim.peer()).await;
    victim.down(node.peer()).await;
    // It comes back by itself, and nobody else noticed.
    node.up(victim.peer()).await;
    meet(&bystander, &mut node).await;
    assert!(!node.told(|event| match event {
        Event::PeerDown { .. } => true,
        Event::Message { bytes, .. } => bytes == b"this one is spoiled",
        _ => false,
    }));
    assert!(!bystander.told(|event| matches!(event, Event::PeerDown { .. })));
}

#[tokio::test]
async fn one_address_cannot_take_every_handshake() {
    let mut slow = config();
    slow.timing.handshake_within = std::time::Duration::from_secs(3_600);
    let mut node = Node::start(1, slow);
    let address = node.listening().await;
    let mut held = Vec::new();
    for _ in 0..PENDING_PER_ADDRESS_MAX {
        held.push(TcpStream::connect(socket(&address)).await.unwrap());
    }
    let mut surplus = TcpStream::connect(socket(&address)).await.unwrap();
    soon(
        "the surplus one is cut off",
        surplus.read_to_end(&mut Vec::new()),
    )
    .await
    .ok();
    assert_eq!(node.handle.counters().connections_refused, 1);
    drop(held);
    let ended = 1 + u64::try_from(PENDING_PER_ADDRESS_MAX).unwrap();
    until("the places are free", || {
        node.handle.counters().connections_refused == ended
    })
    .await;
    let mut friend = Node::start(2, config());
    node.admit([(friend.peer(), vec![])]).await;
    friend.admit([(node.peer(), vec![address])]).await;
    friend.up(node.peer()).await;
}

#[tokio::test]
async fn attack_34_ten_thousand_topics_change_nothing_for_others() {
    let (mut caller, mut called) = (Node::start(1, config()), Node::start(2, config()));
    let address = join(&mut caller, &mut called).await;
    let mut raw = Raw::new(keypair(3), MessageAuthenticity::Anonymous);
    called.admit([(peer(1), vec![]), (peer(3), vec![])]).await;
    raw.dial(&address);
    raw.subscribed().await;
    for number in 0..10_000 {
        raw.swarm
            .behaviour_mut()
            .gossip
            .subscribe(&IdentTopic::new(format!("topic {number}")))
            .unwrap();
    }
    // A frame on a topic that is not ours never arrives; one on ours, sent after it, does.
    raw.publish(b"after ten thousand topics");
    loop {
        let frame = raw.during(called.message()).await;
        if frame.bytes == b"after ten thousand topics" {
            break;
        }
    }
    raw.during(meet(&caller, &mut called)).await;
    assert!(
        !called.told(|event| matches!(event, Event::PeerDown { peer: who } if *who == peer(1)))
    );
}

#[tokio::test]
async fn a_true_frame_on_another_topic_first_does_not_keep_the_good_copy_out() {
    let mut node = Node::start(1, config());
    let address = node.listening().await;
    node.admit([(peer(3), vec![])]).await;
    let messages = [
        wire::message(&[wire::publish("elsewhere", b"true")]),
        wire::message(&[wire::publish(&topic(), b"true")]),
    ];
    let mut raw = scribble(node.peer(), &address, &messages).await;
    assert_eq!(raw.during(node.message()).await.bytes, b"true");
    assert_eq!(node.handle.counters().frames_foreign, 1);
}

#[tokio::test]
async fn attack_34_malformed_control_changes_nothing_for_others() {
    let (mut caller, mut called) = (Node::start(1, config()), Node::start(2, config()));
    let address = join(&mut caller, &mut called).await;
    called.admit([(peer(1), vec![]), (peer(3), vec![])]).await;
    let foreign = |number: u32| format!("foreign {number}").into_bytes();
    let prune = |topic: &[u8], backoff| {
        wire::control(
            4,
            &[wire::field(1, topic), wire::numeric(3, backoff)].concat(),
        )
    };
    let mut messages = Vec::new();
    for start in (0..10_000).step_by(1_000) {
        let grafts = (start..start + 1_000)
            .map(|number| wire::control(3, &wire::field(1, &foreign(number))));
        messages.push(wire::message(&grafts.collect::<Vec<_>>()));
        let subscribe = |number| {
            wire::field(
                1,
                &[wire::numeric(1, 1), wire::field(2, &foreign(number))].concat(),
            )
        };
        messages.push(wire::message(
            &(start..start + 1_000).map(subscribe).collect::<Vec<_>>(),
        ));
    }
    messages.push(wire::message(&[
        prune(topic().as_bytes(), u64::MAX),
        prune(b"never joined", u64::MAX),
    ]));
    let ids: Vec<_> = (0..900_u32)
        .map(|number| wire::field(2, &[number.to_be_bytes(); 8].concat()))
        .collect();
    messages.push(wire::message(&[wire::control(2, &ids.concat())]));
    messages.push(wire::message(&[wire::publish(&topic(), b"after all that")]));
    let mut raw = scribble(called.peer(), &address, &messages).await;
    while raw.during(called.message()).await.bytes != b"after all that" {}
    raw.during(meet(&caller, &mut called)).await;
    raw.during(meet(&called, &mut caller)).await;
    assert!(
        !called.told(|event| matches!(event, Event::PeerDown { peer: who } if *who == peer(1)))
    );
}

#[tokio::test]
async fn attack_31_a_malformed_message_of_gossip_ends_only_its_stream() {
    let (mut caller, mut called) = (Node::start(1, config()), Node::start(2, config()));
    let address = join(&mut caller, &mut called).await;
    called.admit([(peer(1), vec![]), (peer(3), vec![])]).await;
    let lengths = [100_000, u64::from(u32::MAX), u64::MAX];
    let too_long = lengths.map(|announced| [wire::number(announced), vec![0; 100_000]].concat());
    let no_text = wire::message(&[
        wire::publish("x", b""),
        wire::field(2, &wire::field(4, &[0xff; 64])),
    ]);
    for bytes in too_long.into_iter().chain([no_text, garbage(100_000)]) {
        let mut raw = scribble(called.peer(), &address, &[bytes]).await;
        raw.during(meet(&caller, &mut called)).await;
    }
    assert!(
        !called.told(|event| matches!(event, Event::PeerDown { peer: who } if *who == peer(1)))
    );
}

#[tokio::test]
async fn an_owner_who_reads_nothing_stops_no_command() {
    let (caller, called) = pair(config(), config()).await;
    // Far more events than there is room for, and nobody takes them.
    for number in 0..10_000_u64 {
        called.request(peer(9), number, b"nobody there").await;
    }
    drop(caller);
    let mut called = called;
    for number in 0..10_000 {
        assert!(called.response(number).await.is_err());
    }
}
