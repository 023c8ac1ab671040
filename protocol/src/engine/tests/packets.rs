//! Membership by file: what a node gives into a packet makes another node what
//! it is, and a link that does not hold does nothing.

use super::*;
use crate::membership::NotNews;
use crate::roster::RosterError;
use crate::wire::List;
use crate::wire::roster::VoteFrame;
use crate::wire::roster::{Change, Link, Vote, VoteBy};
use watchfire_crypto::{Signed, Statement as _};

/// Has a node say something; what came of it, and the frames it gossips.
fn say(node: &mut Node, saying: Saying) -> (Result<Said, SayingRefusal>, Vec<Vec<u8>>) {
    let mut outputs = node.feed(Input::Say {
        client: ClientToken(3),
        saying: Box::new(saying),
    });
    outputs.extend(node.commit());
    let mut said = None;
    let mut frames = Vec::new();
    for output in outputs {
        match output {
            Output::Said { outcome, .. } => said = Some(outcome),
            Output::Gossip { frame } => frames.push(frame.into_inner().bytes),
            _ => {}
        }
    }
    (said.unwrap(), frames)
}

/// Three members decide that the second is a hub. Gives their nodes.
fn decided() -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..3).map(Node::start).collect();
    let roster = nodes[0].engine.roster();
    let second = keys(1).root.public();
    let member = roster.member_of_root(second.as_bytes()).unwrap();
    let change = Change::Settle {
        member: member.id,
        role: Role::Hub,
        communities: List::default(),
    };
    let propose = Saying::Propose {
        reason: "it carries for others".to_owned(),
        changes: vec![change],
    };
    let (said, mut frames) = say(&mut nodes[0], propose);
    let id = said.unwrap().roster.unwrap();
    for frame in frames.clone() {
        for other in &mut nodes[1..] {
            say(
                other,
                Saying::Bring {
                    frame: frame.clone(),
                },
            )
            .0
            .unwrap();
        }
    }
    for node in &mut nodes {
        let prepare = Saying::Prepare {
            roster: id,
            round: None,
        };
        let (said, prepared) = say(node, prepare);
        said.unwrap();
        frames.extend(prepared);
    }
    for number in 0..3 {
        let root = keys(number).root;
        let vote = Vote {
            federation: roster.federation(),
            epoch: 1,
            roster: id,
            round: 1,
            by: VoteBy::Commit {
                key: root.public().to_bytes(),
            },
        };
        let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &root);
        frames.push(VoteFrame::bare(signed).unwrap());
    }
    for node in &mut nodes {
        for frame in &frames {
            // Its own are held already; after the last vote all of it is past.
            let _ = say(
                node,
                Saying::Bring {
                    frame: frame.clone(),
                },
            );
        }
        assert_eq!(node.engine.roster().epoch(), 1);
    }
    nodes
}

#[test]
fn a_link_of_a_packet_leads_to_the_next_roster_once() {
    let nodes = decided();
    let packet = nodes[0].engine.packet().unwrap().unwrap();
    let link = packet.links().next().unwrap().to_vec();
    assert_eq!(packet.links().count(), 1);
    assert_eq!(packet.genesis(), config_of(0).genesis_file);
    let mut behind = Node::start(3);
    let follow = |link: &[u8]| Saying::Follow {
        link: link.to_vec(),
    };
    let (said, _) = say(&mut behind, follow(&link));
    assert_eq!(said.unwrap().epoch, 1);
    assert_eq!(behind.engine.roster().id(), nodes[0].engine.roster().id());
    let (again, _) = say(&mut behind, follow(&link));
    assert_eq!(again, Err(SayingRefusal::NotNews(NotNews::Held)));
    // It is durable: a node that starts again is where it was.
    assert_eq!(behind.restart(3).engine.roster().epoch(), 1);
}

#[test]
fn a_link_that_too_few_signed_or_that_is_another_does_nothing() {
    let nodes = decided();
    let packet = nodes[0].engine.packet().unwrap().unwrap();
    let link = Link::from_bytes(packet.links().next().unwrap()).unwrap();
    let mut commits = link.commits.clone().into_vec();
    commits.pop();
    let weak = Link {
        commits: List::new(commits).unwrap(),
        ..link.clone()
    };
    let mut behind = Node::start(3);
    let mut follow = |link: Vec<u8>| say(&mut behind, Saying::Follow { link }).0;
    assert!(matches!(
        follow(weak.to_bytes()),
        Err(SayingRefusal::Roster(RosterError::Undecided { .. }))
    ));
    assert!(matches!(
        follow(b"no link".to_vec()),
        Err(SayingRefusal::Form(_))
    ));
    assert_eq!(follow(link.to_bytes()).unwrap().epoch, 1);
    // Another roster in the place of one that is held, signed or not.
    let mut said = crate::wire::roster::RosterStatement::parse(link.roster.as_slice()).unwrap();
    said.created_ms += 1;
    let other = Link {
        roster: Bytes::new(codec::encode(&said)).unwrap(),
        ..link
    };
    let refused = follow(other.to_bytes()).unwrap_err().to_string();
    assert!(refused.contains("another roster here"), "{refused}");
    assert_eq!(behind.engine.roster().epoch(), 1);
}

#[test]
fn what_is_held_of_a_member_is_where_its_streams_are_cut() {
    let mut author = Node::start(1);
    let frames: Vec<Vec<u8>> = ["a", "b", "c", "d"]
        .into_iter()
        .map(|name| author.frame_of(name, 10))
        .collect();
    let mut node = Node::start(0);
    node.meet(1);
    for at in [0, 1, 3] {
        let outputs = node.gossip(1, &frames[at]);
        node.work(outputs);
    }
    let member = author.engine.me().member;
    let ends = node.engine.ends_of_member(&member);
    assert_eq!(ends.len(), 1);
    // The fourth lies behind a gap and does not count.
    assert_eq!((ends[0].tag, ends[0].sequence), (Tag::PUBLIC, 2));
    assert_eq!(ends[0].node, node_id(1));
    let nobody = node.engine.me().member;
    assert!(node.engine.ends_of_member(&nobody).is_empty());
}
