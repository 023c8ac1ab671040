//! Invitations, over the control socket.

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use watchfire_protocol::wire::invitation::{Invitation, Token};
use watchfire_protocol::wire::{List, Text};

use super::{Failure, Reply, failure};
use crate::clock::{moment, wall_ms};
use crate::driver::{DeskView, DeskWish};
use crate::invitations::{DeskRefusal, Invited};
use crate::node::Node;

/// Addresses of its door an invitation has room for.
const DOORS_MAX: usize = 4;

/// Whom to invite.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InviteOp {
    /// For how long, in milliseconds.
    pub life_ms: u64,
    /// For whom, in a person's words.
    #[serde(default)]
    pub note: String,
    /// Where the door is; none for the addresses of this member's card.
    #[serde(default)]
    pub doors: Vec<String>,
}

/// What came of it, and every invitation that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvitationsReply {
    /// The text of the one that was made. It is a secret, and not told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<String>,
    /// The one that was made or withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<InvitationView>,
    /// All that are kept.
    pub invitations: Vec<InvitationView>,
}

/// An invitation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvitationView {
    /// What people call it by.
    pub id: String,
    /// For whom.
    pub note: String,
    /// When it was made, RFC 3339.
    pub made: String,
    /// Until when somebody may knock with it, RFC 3339.
    pub until: String,
    /// `open`, `over`, `knocked`, or `member` once the roster has the card's root.
    pub state: String,
    /// Who knocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knock: Option<KnockView>,
}

/// The card that was left with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KnockView {
    /// What it calls itself.
    pub slug: String,
    /// Agency, hub or observer.
    pub role: String,
    /// Name of the organisation, as it says.
    pub name: String,
    /// Fingerprint of the card, to be compared by telephone.
    pub card_fingerprint: String,
    /// When it came, RFC 3339.
    pub at: String,
    /// The card file, in hexadecimal.
    pub card: String,
}

pub(super) async fn see(node: &Node) -> Result<Reply, Failure> {
    let view = at_desk(node, DeskWish::See).await?;
    Ok(reply(node, view, None))
}

pub(super) async fn withdraw(node: &Node, id: String) -> Result<Reply, Failure> {
    let view = at_desk(node, DeskWish::Withdraw { id }).await?;
    Ok(reply(node, view, None))
}

pub(super) async fn invite(node: &Node, op: InviteOp) -> Result<Reply, Failure> {
    let held = at_desk(node, DeskWish::See).await?;
    if !held.has_door {
        return Err(failure(
            1,
            "this node has no door, and nobody could knock",
            Some(
                "give it one: \"door_listen\" in node.json, such as [\"/ip4/0.0.0.0/tcp/4748\"], then start it again",
            ),
        ));
    }
    let addresses = addresses(node, op.doors)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|why| failure(1, format!("the system gives no randomness: {why}"), None))?;
    let token = Token::from_bytes(bytes);
    let wish = DeskWish::Invite {
        token: token.clone(),
        life_ms: op.life_ms,
        note: op.note,
    };
    let view = at_desk(node, wish).await?;
    let expires_ms = view.about.as_ref().map_or(0, |made| made.expires_ms);
    let invitation = Invitation {
        federation: node.roster().federation(),
        door: node.certificate().transport_key,
        token,
        expires_ms,
        addresses,
    };
    Ok(reply(node, view, Some(invitation.to_text())))
}

/// Those named, else those of this member's card.
fn addresses(node: &Node, named: Vec<String>) -> Result<List<Text<128>, DOORS_MAX>, Failure> {
    let own = node
        .roster()
        .member(&node.member())
        .map_or_else(Vec::new, |member| member.door_addresses.clone());
    let doors = if named.is_empty() { own } else { named };
    if doors.is_empty() {
        return Err(failure(
            1,
            "this member's card has no address of a door",
            Some("name where your door is reached with --door, such as /ip4/192.0.2.1/tcp/4748"),
        ));
    }
    let wrong = |why: String| failure(2, why, None);
    let texts = doors.into_iter().map(|door| {
        door.parse::<Multiaddr>()
            .map_err(|why| wrong(format!("{door} is no address: {why}")))?;
        Text::new(door).map_err(|why| wrong(format!("an address of the door: {why}")))
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    List::new(texts).map_err(|why| wrong(format!("the addresses of the door: {why}")))
}

async fn at_desk(node: &Node, wish: DeskWish) -> Result<DeskView, Failure> {
    let outcome = node
        .at_desk(wish)
        .await
        .map_err(|ended| failure(15, ended.to_string(), None))?;
    outcome.map_err(|why| {
        let code = match &why {
            DeskRefusal::Damaged { .. } => 18,
            DeskRefusal::File(_) | DeskRefusal::TooMany => 1,
            DeskRefusal::Life | DeskRefusal::Note => 2,
            DeskRefusal::Unknown(_) => 14,
        };
        let text = why.to_string();
        match text.rsplit_once("; ") {
            Some((message, hint)) => failure(code, message, Some(hint)),
            None => failure(code, text, None),
        }
    })
}

fn reply(node: &Node, view: DeskView, invitation: Option<String>) -> Reply {
    let shown = |invited: &Invited| InvitationView::of(node, invited, wall_ms());
    Reply::Invitations(InvitationsReply {
        invitation,
        about: view.about.as_ref().map(shown),
        invitations: view.invitations.iter().map(shown).collect(),
    })
}

impl InvitationView {
    fn of(node: &Node, invited: &Invited, now_ms: u64) -> Self {
        let mut state = if invited.expires_ms <= now_ms {
            "over"
        } else {
            "open"
        };
        let knock = invited.knock.as_ref().and_then(|knock| {
            let checked = knock.checked()?;
            let is_member = node
                .roster()
                .member_of_root(checked.root_key.as_bytes())
                .is_some();
            state = if is_member { "member" } else { "knocked" };
            Some(KnockView {
                slug: checked.card.slug.to_string(),
                role: checked.card.role.name().to_owned(),
                name: checked.card.contact.name.as_str().to_owned(),
                card_fingerprint: checked.id.to_string(),
                at: moment(knock.at_ms),
                card: knock.card.clone(),
            })
        });
        Self {
            id: invited.id.clone(),
            note: invited.note.clone(),
            made: moment(invited.made_ms),
            until: moment(invited.expires_ms),
            state: state.to_owned(),
            knock,
        }
    }
}
