//! What engines put out, and how it reaches the others, or does not.

use super::*;
use crate::memo::KnownRoster;
use std::rc::Rc;
use watchfire_crypto::sha256;
use watchfire_protocol::engine::{
    AnswerToken, Done, Event, GossipToken, Input, Output, Verdict, Work,
};
use watchfire_protocol::gate::is_notice;
use watchfire_protocol::ids::NodeId;

impl Table {
    pub(super) fn output(&mut self, number: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Verdict { token, verdict } => {
                let held = self
                    .seats
                    .get_mut(number)
                    .and_then(|seat| seat.gossip.remove(&token));
                match (verdict, held) {
                    (Verdict::Accept, Some((from, bytes))) => {
                        self.spread(number, Some(from), &bytes);
                    }
                    (Verdict::Reject, Some(_)) => {
                        return Err(format!("seat {number} rejects a notice of a member"));
                    }
                    (Verdict::Accept | Verdict::Reject | Verdict::Ignore, _) => {}
                }
            }
            Output::Gossip { frame } => {
                let bytes = Rc::new(frame.into_inner().bytes);
                self.spread(number, None, &bytes);
            }
            Output::Request { to, id, request } => {
                let life = self.seats.get(number).map_or(0, |seat| seat.life);
                let to = self.nodes.iter().position(|node| *node == to);
                match to.filter(|to| *to < HONEST) {
                    Some(to) => self.letters.push(Letter::Asked {
                        from: number,
                        life,
                        to,
                        id,
                        request,
                    }),
                    None => return self.feed(number, Input::Answered { id, answer: None }),
                }
            }
            Output::Answer { token, answer } => {
                let asked = self
                    .seats
                    .get_mut(number)
                    .and_then(|seat| seat.asked.remove(&token));
                if let Some((to, life, id)) = asked {
                    let answer = Some(Box::new(answer));
                    self.letters.push(Letter::Answered {
                        to,
                        life,
                        id,
                        answer,
                    });
                }
            }
            Output::Work(work) => return self.work(number, work),
            Output::Roster(roster) => {
                if let Some(seat) = self.seats.get_mut(number) {
                    if roster.epoch() < seat.known.roster.epoch() {
                        return Err(format!("rollback: seat {number} goes back"));
                    }
                    seat.known = KnownRoster::new(roster);
                }
            }
            Output::Event(Event::Epoch { epoch }) => {
                if let Some(seat) = self.seats.get_mut(number) {
                    seat.claimed = seat.claimed.max(epoch);
                }
            }
            Output::Door { .. }
            | Output::Published { .. }
            | Output::Said { .. }
            | Output::Accepted { .. }
            | Output::Durable { .. }
            | Output::Distrust { .. }
            | Output::Admission
            | Output::Synced { .. }
            | Output::Reconnect { .. }
            | Output::Event(_) => {}
        }
        Ok(())
    }

    pub(super) fn work(&mut self, number: usize, work: Work) -> Result<(), String> {
        let done: Option<Done> = self
            .seats
            .get(number)
            .map(|seat| self.memo.run(work, &seat.known));
        match done {
            Some(done) => self.feed(number, Input::Done(done)),
            None => Ok(()),
        }
    }

    pub(super) fn spread(&mut self, number: usize, source: Option<NodeId>, bytes: &Rc<Vec<u8>>) {
        let Some(from) = self.nodes.get(number).copied() else {
            return;
        };
        for to in (0..HONEST).filter(|to| *to != number) {
            if self.nodes.get(to).copied() != source {
                self.letters.push(Letter::Gossip {
                    from,
                    to,
                    bytes: Rc::clone(bytes),
                });
            }
        }
    }

    pub(super) fn deliver(&mut self, letter: Letter) -> Result<(), String> {
        self.tokens += 1;
        match letter {
            Letter::Gossip { from, to, bytes } => {
                let token = GossipToken(self.tokens);
                let Some(seat) = self.seats.get_mut(to).filter(|_| is_notice(&bytes)) else {
                    return Ok(());
                };
                let checked = self.memo.notice(sha256(&bytes), &bytes, &seat.known);
                let length = bytes.len() as u64;
                seat.gossip.insert(token, (from, bytes));
                self.feed(
                    to,
                    Input::GossipNotice {
                        from,
                        token,
                        length,
                        checked,
                    },
                )
            }
            Letter::Asked {
                from,
                life,
                to,
                id,
                request,
            } => {
                let token = AnswerToken(self.tokens);
                let node = self.nodes.get(from).copied();
                let (Some(seat), Some(from_node)) = (self.seats.get_mut(to), node) else {
                    return Ok(());
                };
                seat.asked.insert(token, (from, life, id));
                self.feed(
                    to,
                    Input::Request {
                        from: from_node,
                        token,
                        request: Ok(request),
                    },
                )
            }
            Letter::Answered {
                to,
                life,
                id,
                answer,
            } => {
                if self.seats.get(to).is_some_and(|seat| seat.life == life) {
                    self.feed(to, Input::Answered { id, answer })
                } else {
                    Ok(())
                }
            }
        }
    }
}
