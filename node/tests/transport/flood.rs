//! Floods by admitted peers and by strangers, against a node in a process of its own whose memory is watched. Each test
//! says how much memory the flood would take if it were kept, and how much it may; a bystander's link carries gossip and
//! questions through all of it.

use libp2p::gossipsub::{Event as GossipEvent, MessageAuthenticity};
use libp2p::request_response;
use libp2p::swarm::SwarmEvent;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchfire_node::limits::{
    DOOR_CONNECTIONS_PER_ADDRESS_MAX, DOOR_WITHIN, PENDING_PER_ADDRESS_MAX,
};
use watchfire_node::transport::door;

use crate::byhand::{ByHand, DATA, FIN, PING, RST, SYN, WINDOW, negotiation};
use crate::meddler::Meddler;
use crate::raw::{Raw, SpeechEvent};
use crate::scribe::{garbage, scribble, scribble_and, wire};
use crate::victim::{Victim, bystander, unharmed};
use crate::world::{FEDERATION, Node, config, keypair, peer, socket, soon, topic};

/// The exchange of the test federation.
fn exchange() -> String {
    format!("/watchfire/1/exchange/{}", hex::encode(FEDERATION))
}

/// A frame that the victim repeats, so that whatever came before it has been read.
fn echo() -> Vec<u8> {
    wire::message(&[wire::publish(&topic(), b"echo of the flood")])
}

/// Waits for that repetition.
async fn echoed(raw: &mut Raw) {
    raw.pick("the victim has read everything", |event| match event {
        SwarmEvent::Behaviour(SpeechEvent::Gossip(GossipEvent::Message { message, .. })) => {
            (message.data == b"heardof the flood").then_some(())
        }
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn attack_34_topics_without_end_are_not_kept() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    // 20,000 names of 2,000 bytes, each subscribed to and grafted: 40 MB kept once, 80 MB kept twice.
    let mut messages = Vec::new();
    for start in (0..20_000_u32).step_by(20) {
        let names = || (start..start + 20).map(|number| format!("{number:>02000}").into_bytes());
        let subscribe =
            |name: Vec<u8>| wire::field(1, &[wire::numeric(1, 1), wire::field(2, &name)].concat());
        let graft = |name: Vec<u8>| wire::control(3, &wire::field(1, &name));
        messages.push(wire::message(&names().map(subscribe).collect::<Vec<_>>()));
        messages.push(wire::message(&names().map(graft).collect::<Vec<_>>()));
    }
    messages.push(echo());
    let mut raw = scribble(peer(1), &victim.address, &messages).await;
    echoed(&mut raw).await;
    raw.during(unharmed(&mut bystander)).await;
    victim.grew_at_most(24);
}

#[tokio::test]
async fn attack_34_ids_and_prunes_without_end_are_not_kept() {
    let mut victim = Victim::start("steady").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    // 2.7 million ids offered, asked for and declined, and prunes of every kind: 92 MB on the wire.
    let ids = |tag: u64, from: u32| -> Vec<u8> {
        (from..from + 900)
            .flat_map(|number| wire::field(tag, &[number.to_be_bytes(); 8].concat()))
            .collect()
    };
    let prune = |name: &[u8], number: u32| {
        let other = wire::field(1, &keypair(3).public().to_peer_id().to_bytes());
        let backoff = if number.is_multiple_of(2) {
            u64::MAX
        } else {
            0
        };
        let content = [
            wire::field(1, name),
            wire::field(2, &other),
            wire::numeric(3, backoff),
        ];
        wire::control(4, &content.concat())
    };
    let mut messages = Vec::new();
    for number in 0..1_000_u32 {
        let from = number * 900;
        let offered = [wire::field(1, topic().as_bytes()), ids(2, from)].concat();
        messages.push(wire::message(&[wire::control(1, &offered)]));
        messages.push(wire::message(&[wire::control(2, &ids(1, from))]));
        messages.push(wire::message(&[wire::control(5, &ids(1, from))]));
        let never_joined = format!("{number:>01000}");
        messages.push(wire::message(&[
            prune(topic().as_bytes(), number),
            prune(never_joined.as_bytes(), number),
        ]));
    }
    // Whoever breaks so many promises is not listened to any more, so no frame of its comes back: the stream ends when
    // all of it has been read.
    let mut raw = scribble_and(peer(1), &victim.address, &messages, false).await;
    raw.pick("the stream has been read to its end", |event| match event {
        SwarmEvent::Behaviour(SpeechEvent::Exchange(
            request_response::Event::Message { .. }
            | request_response::Event::OutboundFailure { .. },
        )) => Some(()),
        _ => None,
    })
    .await;
    raw.during(unharmed(&mut bystander)).await;
    victim.grew_at_most(24);
}

#[tokio::test]
async fn attack_34_malformed_frames_of_yamux_are_refused_and_cost_nobody_else() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    let body = vec![0; 262_144];
    for (case, seed) in (3..9).enumerate() {
        let mut hand = ByHand::dial(&victim.address, &keypair(seed), true).await;
        // The connection may be closed while its last words are written.
        let said = match case {
            // A window that overflows at once, and one that overflows by addition.
            0 => hand.frame(WINDOW, SYN, 1, u32::MAX, &[]).await,
            1 => {
                hand.frame(WINDOW, SYN, 1, 1, &[]).await.unwrap();
                hand.frame(WINDOW, 0, 1, u32::MAX, &[]).await
            }
            // A length that nobody may have, announced and begun.
            2 => {
                hand.data(SYN, 1, b"\x13").await.unwrap();
                hand.frame(DATA, 0, 1, u32::MAX, &body).await
            }
            // More than the window of a new stream.
            3 => hand.data(SYN, 1, &[body.as_slice(), &[0]].concat()).await,
            // A stream that is there already, and a number that is ours to give.
            4 => {
                hand.data(SYN, 1, b"\x13").await.unwrap();
                hand.data(SYN, 1, b"\x13").await
            }
            _ => hand.data(SYN, 2, b"\x13").await,
        };
        drop(said);
        hand.refused().await;
        unharmed(&mut bystander).await;
    }
    victim.grew_at_most(16);
}

/// Ends a connection by a frame of a kind that does not exist, so that all before it has been read.
async fn finish(mut hand: ByHand) {
    hand.frame(9, 0, 0, 0, &[]).await.ok();
    hand.refused().await;
}

#[tokio::test]
async fn attack_34_frames_for_no_stream_and_tiny_frames_are_not_kept() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    // 64 MB for streams that were never opened, and window updates for them.
    let mut hand = ByHand::dial(&victim.address, &keypair(3), true).await;
    let body = vec![0; 65_536];
    for number in 0..1_000_u32 {
        hand.data(0, 2 * number + 1, &body).await.unwrap();
        hand.frame(WINDOW, 0, 2 * number + 1, u32::MAX, &[])
            .await
            .unwrap();
    }
    unharmed(&mut bystander).await;
    finish(hand).await;
    // 100,000 streams opened and reset at once, none waiting for the other.
    let mut hand = ByHand::dial(&victim.address, &keypair(4), true).await;
    for burst in 0..1_000_u32 {
        let mut bytes = Vec::new();
        for number in 0..100 {
            let stream = (2 * (burst * 100 + number) + 1).to_be_bytes();
            for flags in [SYN, RST] {
                bytes.extend([&[0, WINDOW], &flags.to_be_bytes()[..], &stream, &[0; 4]].concat());
            }
        }
        if hand.bytes(&bytes).await.is_err() {
            break;
        }
    }
    unharmed(&mut bystander).await;
    finish(hand).await;
    // A frame of gossip in 60,000 frames of yamux, one byte each, and never its end.
    let mut hand = ByHand::dial(&victim.address, &keypair(5), true).await;
    hand.data(SYN, 1, &negotiation("/meshsub/1.1.0"))
        .await
        .unwrap();
    hand.data(0, 1, &wire::number(60_001)).await.unwrap();
    for _ in 0..600 {
        let tiny = [
            &[0, DATA, 0, 0][..],
            &1_u32.to_be_bytes(),
            &1_u32.to_be_bytes(),
            b"x",
        ]
        .concat();
        hand.bytes(&tiny.repeat(100)).await.unwrap();
    }
    unharmed(&mut bystander).await;
    finish(hand).await;
    victim.grew_at_most(24);
}

#[tokio::test]
async fn attack_34_streams_by_the_thousand_hold_no_more_than_a_few() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    // 8,000 streams, each in the middle of a proposal of 16,000 bytes: 128 MB if all were held.
    let mut hand = ByHand::dial(&victim.address, &keypair(3), true).await;
    let mut proposal = b"\x13/multistream/1.0.0\n".to_vec();
    proposal.extend(wire::number(16_000));
    proposal.extend([b'/'; 15_999]);
    for number in 0..8_000_u32 {
        // It may be closed for it.
        if hand.data(SYN, 2 * number + 1, &proposal).await.is_err() {
            break;
        }
    }
    unharmed(&mut bystander).await;
    finish(hand).await;
    victim.grew_at_most(24);
}

#[tokio::test]
async fn attack_34_who_never_reads_pongs_and_answers_is_not_written_for() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    // Four million pings; their answers would be 48 MB on the wire.
    let mut deaf = ByHand::dial(&victim.address, &keypair(3), false).await;
    let pings = [0, PING, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1].repeat(10_000);
    tokio::select! {
        () = async { for _ in 0..400 { if deaf.bytes(&pings).await.is_err() { break } } } => {}
        () = async { for _ in 0..20 { unharmed(&mut bystander).await } } => {}
    }
    // 40 times 60 questions at once, each for a megabyte: 60 MB that nobody reads, 40 times over.
    let mut asker = ByHand::dial(&victim.address, &keypair(4), false).await;
    let question = [negotiation(&exchange()), b"\0\0\0\x05large".to_vec()].concat();
    let ask = async {
        for round in 0..40_u32 {
            for number in 0..60 {
                let stream = 2 * (round * 60 + number) + 1;
                if asker.data(SYN | FIN, stream, &question).await.is_err() {
                    return;
                }
            }
            for number in 0..60 {
                let stream = 2 * (round * 60 + number) + 1;
                if asker.frame(WINDOW, RST, stream, 0, &[]).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = ask => {}
        () = async { for _ in 0..20 { unharmed(&mut bystander).await } } => {}
    }
    unharmed(&mut bystander).await;
    victim.grew_at_most(32);
}

#[tokio::test]
async fn attack_34_a_peer_that_reads_slowly_fills_its_own_queue_and_no_more() {
    let mut victim = Victim::start("forgetful").await;
    let mut bystander = bystander(&victim).await;
    let mut raw = Raw::new(keypair(3), MessageAuthenticity::Anonymous);
    raw.dial(&victim.address);
    raw.subscribed().await;
    raw.during(unharmed(&mut bystander)).await;
    victim.watch();
    // From here on nobody reads for it. 3,600 frames of 48 KiB are 169 MiB; its queue holds 128, 6 MiB, and what was
    // sent within the last fifth of a second is remembered for whoever asks.
    for from in (0..3_600).step_by(200) {
        victim.order(&format!("publish {from} 200"));
        unharmed(&mut bystander).await;
    }
    assert!(
        victim.counter("frames_dropped_for_slow_peers").await + victim.counter("unpublished").await
            > 0
    );
    victim.grew_at_most(112);
}

#[tokio::test]
async fn attack_34_a_peer_that_never_answers_holds_a_few_questions() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    let silent = ByHand::dial(&victim.address, &keypair(3), true).await;
    victim.watch();
    // 10,000 questions of 16 KiB: 160 MB if they waited.
    victim.order("ask 3 10000");
    victim.counter("unpublished").await;
    unharmed(&mut bystander).await;
    victim.grew_at_most(24);
    drop(silent);
}

#[tokio::test]
async fn attack_34_frames_that_wait_for_a_verdict_are_bounded() {
    let mut victim = Victim::start("undecided").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    // 4,000 frames of 32 KiB, 128 MB, each held twice until its verdict; 16 MiB of one peer may wait.
    let mut raw = Raw::new(keypair(3), MessageAuthenticity::Anonymous);
    raw.dial(&victim.address);
    raw.subscribed().await;
    for number in 0..4_000_u32 {
        let mut bytes = vec![0; 32_768];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        raw.publish(&bytes);
    }
    loop {
        let refused = raw.during(victim.counter("frames_without_room")).await;
        let late = raw.during(victim.counter("verdicts_missing")).await;
        if refused + late >= 3_000 {
            break;
        }
    }
    raw.during(unharmed(&mut bystander)).await;
    victim.grew_at_most(80);
}

#[tokio::test]
async fn attack_35_garbage_in_the_noise_stream_ends_its_connection_and_no_other() {
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    let meddler = Meddler::before(&victim.address).await;
    let mut other = Node::start(3, config());
    other
        .admit([(peer(1), vec![meddler.address.clone()])])
        .await;
    other.up(peer(1)).await;
    victim.watch();
    for length in [1, 2, 3, 100, 65_537, 8_000_000] {
        unharmed(&mut other).await;
        meddler.inject(garbage(length));
        // What is slipped in may announce up to 64 KiB more, which have to come before it is judged.
        for number in 0..3_u8 {
            let frame = [vec![number; 40_000], length.to_be_bytes().to_vec()].concat();
            other.publish(frame).await;
        }
        other.down(peer(1)).await;
        // It comes back by itself.
        other.up(peer(1)).await;
        unharmed(&mut bystander).await;
    }
    victim.grew_at_most(16);
}

#[tokio::test]
async fn attack_34_half_open_handshakes_by_the_thousand_are_cut_off() {
    const { assert!(DOOR_WITHIN.as_secs() <= 5) };
    let mut victim = Victim::start("fair").await;
    let mut bystander = bystander(&victim).await;
    victim.watch();
    let ports = [
        (
            victim.door.clone(),
            "door_connections_refused",
            DOOR_CONNECTIONS_PER_ADDRESS_MAX,
        ),
        (
            victim.address.clone(),
            "connections_refused",
            PENDING_PER_ADDRESS_MAX,
        ),
    ];
    for (address, counter, held) in ports {
        let mut callers = Vec::new();
        for _ in 0..1_000 {
            let mut caller = TcpStream::connect(socket(&address)).await.unwrap();
            // Half of what opens a handshake; whoever is one too many may be gone already.
            caller.write_all(b"\x13/multi").await.ok();
            callers.push(caller);
        }
        while victim.counter(counter).await < 1_000 - held as u64 {}
        unharmed(&mut bystander).await;
        // Those that were let in are shown out in time, although they hold on.
        for mut caller in callers {
            soon("it is cut off", caller.read_to_end(&mut Vec::new()))
                .await
                .ok();
        }
    }
    let (stranger, door) = (keypair(7), victim.door.clone());
    let answer = door::ask(&stranger, &FEDERATION, door, None, b"genesis?".to_vec()).await;
    assert_eq!(answer.unwrap(), b"genesis?");
    victim.grew_at_most(16);
}
