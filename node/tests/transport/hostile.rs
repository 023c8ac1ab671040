//! What hostile bytes and hostile peers do to one connection, and not to the others.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libp2p::Multiaddr;
use libp2p::gossipsub::{IdentTopic, MessageAuthenticity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use watchfire_node::limits::PENDING_PER_ADDRESS_MAX;
use watchfire_node::transport::Event;

use crate::door::socket;
use crate::raw::Raw;
use crate::world::{Node, config, join, keypair, meet, pair, peer, soon, until};

/// Bytes that are no protocol, repeatable.
fn garbage(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

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

/// A man in the middle: passes bytes on in both directions until it is told to spoil one.
async fn meddler(target: (Ipv4Addr, u16), spoil: Arc<AtomicBool>) -> Multiaddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let SocketAddr::V4(local) = listener.local_addr().unwrap() else {
        panic!("not IPv4")
    };
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(target).await else {
                continue;
            };
            let (mut from_near, mut to_near) = near.into_split();
            let (mut from_far, mut to_far) = far.into_split();
            let spoil = Arc::clone(&spoil);
            tokio::spawn(async move { tokio::io::copy(&mut from_far, &mut to_near).await.ok() });
            tokio::spawn(async move {
                let mut buffer = vec![0; 4_096];
                while let Ok(count @ 1..) = from_near.read(&mut buffer).await {
                    if spoil.swap(false, Ordering::SeqCst) {
                        buffer[count / 2] ^= 1;
                    }
                    if to_far.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Multiaddr::from(*local.ip()).with(libp2p::multiaddr::Protocol::Tcp(local.port()))
}

#[tokio::test]
async fn attack_35_a_spoiled_byte_in_the_noise_stream_ends_only_its_own_connection() {
    let (mut victim, mut bystander, mut node) = (
        Node::start(1, config()),
        Node::start(2, config()),
        Node::start(3, config()),
    );
    let address = node.listening().await;
    let spoil = Arc::new(AtomicBool::new(false));
    let detour = meddler(socket(&address), Arc::clone(&spoil)).await;
    node.admit([(victim.peer(), vec![]), (bystander.peer(), vec![])])
        .await;
    victim.admit([(node.peer(), vec![detour])]).await;
    bystander.admit([(node.peer(), vec![address])]).await;
    for other in [&mut victim, &mut bystander] {
        other.up(node.peer()).await;
        node.up(other.peer()).await;
        meet(other, &mut node).await;
    }
    spoil.store(true, Ordering::SeqCst);
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
