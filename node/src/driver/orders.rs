//! What clients of the node order, and how they are told what came of it.

use watchfire_protocol::engine::{ClientToken, Input, PublishRefusal, Published};
use watchfire_protocol::opening::Draft;

use super::{
    Client, Driver, NodeCommand, Publication, PublishFailure, PublishedBundle, Ready, Summary,
};

impl Driver {
    pub(super) fn on_publication(&mut self, publication: Publication) {
        let Publication { stix, wish, reply } = publication;
        let client = ClientToken(self.book.number());
        self.book.clients.insert(
            client,
            Client {
                reply,
                summary: None,
            },
        );
        let given = self.openers.give(Box::new(move || {
            let encoded = crate::encode::zstd_of(&stix);
            Ready::Draft {
                client,
                draft: Box::new(Draft::prepare(stix, encoded, wish)),
            }
        }));
        if !given && let Some(waiting) = self.book.clients.remove(&client) {
            // Whoever asked may have gone.
            let _ = waiting.reply.send(Err(PublishFailure::Busy));
        }
    }

    pub(super) fn on_command(&mut self, command: NodeCommand) -> Option<Input> {
        match self.answer(command)? {
            NodeCommand::Barrier { reply } => {
                let client = ClientToken(self.book.number());
                self.book.barriers.insert(client, reply);
                Some(Input::Barrier { client })
            }
            NodeCommand::Say { saying, reply } => {
                let client = ClientToken(self.book.number());
                self.book.sayings.insert(client, reply);
                Some(Input::Say { client, saying })
            }
            NodeCommand::Accept { accept, reply } => {
                let client = ClientToken(self.book.number());
                self.book.acceptances.insert(client, reply);
                Some(Input::Accept { client, accept })
            }
            NodeCommand::Distrust {
                member,
                reason,
                reply,
            } => {
                let client = ClientToken(self.book.number());
                self.book.distrusts.insert(client, reply);
                Some(Input::Distrust {
                    client,
                    member,
                    reason,
                })
            }
            NodeCommand::Sync { reply } => {
                let client = ClientToken(self.book.number());
                self.book.syncs.insert(client, reply);
                Some(Input::Sync { client })
            }
            NodeCommand::Certificate { certificate } => Some(Input::Certificate { certificate }),
            NodeCommand::Invitations { wish, reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.at_desk(wish));
                None
            }
            // Answered already.
            NodeCommand::Membership { .. }
            | NodeCommand::Packet { .. }
            | NodeCommand::Trace { .. }
            | NodeCommand::Ends { .. }
            | NodeCommand::Status { .. }
            | NodeCommand::Shutdown => None,
        }
    }

    pub(super) fn tell(&mut self, client: ClientToken, outcome: Result<Published, PublishRefusal>) {
        let Some(waiting) = self.book.clients.remove(&client) else {
            return;
        };
        let answer = match (outcome, waiting.summary) {
            (Ok(published), Some(summary)) => Ok(PublishedBundle { published, summary }),
            (Ok(_), None) => Err(PublishFailure::Busy),
            (Err(refusal), _) => Err(refusal.into()),
        };
        // Whoever asked may have gone; the bundle is published all the same.
        let _ = waiting.reply.send(answer);
    }
}

pub(super) fn summary_of(draft: &Draft) -> Summary {
    Summary {
        marking: draft.marking(),
        objects: draft.opened().rows().len() as u64,
        values: draft.opened().keys().len() as u64,
        not_indexed: draft.opened().not_indexed(),
    }
}
