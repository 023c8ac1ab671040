//! An organisation becomes a member by an invitation, with the real program: it
//! is invited, knocks, is compared, proposed, consents at the door, is admitted by
//! the next epoch and receives its first bundle.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use watchfire_crypto::{Passphrase, Purpose, Signed};
use watchfire_node::cli::NodeSettings;
use watchfire_node::disk::SledStore;
use watchfire_node::home::Home;
use watchfire_node::keystore::{MODE_PUBLIC, write_new};
use watchfire_node::transport::{door, keypair_of, peer_id_of};
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::gate;
use watchfire_protocol::ids::RosterId;
use watchfire_protocol::roster::{check_card, draft_genesis, inspect_genesis, sign_genesis};
use watchfire_protocol::wire::SignedBytes;
use watchfire_protocol::wire::card::{Contact, Role};
use watchfire_protocol::wire::codec;
use watchfire_protocol::wire::exchange::{DoorAnswer, DoorRequest};
use watchfire_protocol::wire::genesis::{card_from_file, card_to_file};
use watchfire_protocol::wire::invitation::{Invitation, Token};
use watchfire_protocol::wire::roster::{Vote, VoteBy};
use watchfire_tests::mesh::{PATIENCE, document, free_port, wall_ms};
use watchfire_tests::program::{PASSPHRASE, Process, Said, seal};

const BINARY: &str = env!("CARGO_BIN_EXE_watchfire-under-test");

/// The first two found the federation; the others are to be invited.
const SLUGS: [&str; 4] = ["at-cert", "be-cert", "xx-cert", "yy-cert"];
const FOUNDERS: usize = 2;

fn keys(number: u64) -> Keys {
    Keys::derived(&[43; 32], number)
}

struct World {
    dir: tempfile::TempDir,
    fingerprint: String,
    door: String,
}

impl World {
    /// Data directories as `init` leaves them, and a genesis that the founders
    /// signed and joined. The first founder has a door. Made by hand, because the
    /// keys of `init` are dear on purpose.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = dir.path().join("passphrase");
        fs::write(&passphrase, PASSPHRASE).unwrap();
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600)).unwrap();
        let words = Passphrase::new(PASSPHRASE.to_owned()).unwrap();
        let door = format!("/ip4/127.0.0.1/tcp/{}", free_port());
        let mut cards = Vec::new();
        for (number, slug) in (0..).zip(SLUGS) {
            let keys = keys(number);
            let home = Home::create(&dir.path().join(slug)).unwrap();
            let sealed = [
                (home.root_key(), Purpose::Root, &keys.root, 1),
                (home.signing_key(), Purpose::Signing, &keys.signing, 2),
                (home.transport_key(), Purpose::Transport, &keys.transport, 3),
            ];
            for (place, purpose, key, entropy) in sealed {
                seal(&place, purpose, key, &words, entropy);
            }
            let address = format!("/ip4/127.0.0.1/tcp/{}", free_port());
            let doors = if number == 0 {
                vec![door.clone()]
            } else {
                Vec::new()
            };
            let profile = Profile {
                slug: slug.parse().unwrap(),
                role: Role::Agency,
                contact: Contact::default(),
                addresses: vec![address.clone()],
                door_addresses: doors.clone(),
            };
            let card = make_card(&profile, &keys, wall_ms()).unwrap();
            write_new(&home.own_card(), &card_to_file(&card), MODE_PUBLIC).unwrap();
            let settings = NodeSettings {
                listen: vec![address.parse().unwrap()],
                door_listen: doors.iter().map(|door| door.parse().unwrap()).collect(),
            };
            settings.save(&home).unwrap();
            drop(SledStore::create(&home.store()).unwrap());
            cards.push((card, vec!["eu".to_owned()]));
        }
        cards.truncate(FOUNDERS);
        let mut genesis = draft_genesis("inviting", wall_ms(), &cards).unwrap();
        for number in 0..FOUNDERS as u64 {
            genesis = sign_genesis(&genesis, &keys(number).root).unwrap();
        }
        fs::write(dir.path().join("genesis"), genesis.to_bytes()).unwrap();
        let fingerprint = inspect_genesis(&genesis).unwrap().federation.to_string();
        let world = Self {
            dir,
            fingerprint,
            door,
        };
        for member in &SLUGS[..FOUNDERS] {
            let join = ["join", "genesis", "--fingerprint", &world.fingerprint];
            world.at(member, &join).ends(0);
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, member: &str, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).stdin(Stdio::null());
        command.args(["--data-dir", member]).args(args);
        command
    }

    fn at(&self, member: &str, args: &[&str]) -> Said {
        Said::of(self.command(member, args).output().unwrap())
    }

    /// What a newcomer runs.
    fn join_command(&self, member: &str, args: &[&str]) -> Command {
        let join = [
            "join",
            "the.invitation",
            "--passphrase-file",
            "passphrase",
            "--json",
        ];
        self.command(member, &[&join, args].concat())
    }

    fn join(&self, member: &str, args: &[&str]) -> Said {
        Said::of(self.join_command(member, args).output().unwrap())
    }

    fn serve(&self, member: &str) -> Process {
        let mut command = self.command(member, &["serve", "--passphrase-file", "passphrase"]);
        command.env("WATCHFIRE_LOG", "warn,watchfire_node::serve=info");
        let mut process = Process::start(command);
        process.until("serving", 1, member);
        process
    }

    /// Looks until it is so. Each look is a process of its own, which is pause
    /// enough.
    fn until(&self, member: &str, args: &[&str], is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let data = self.at(member, args).ends(0).data();
            if is_so(&data) {
                return data;
            }
            assert!(Instant::now() < deadline, "{member} {args:?}: {data:#}");
        }
    }

    fn next_is(&self, member: &str, step: &str) {
        self.until(member, &["roster", "status", "--json"], |status| {
            status["proposals"][0]["next"] == step
        });
    }

    /// Invites at the first founder, into the file `the.invitation`. Gives the id.
    fn invite(&self) -> String {
        let invite = [
            "invite",
            "--for",
            "a test",
            "-o",
            "the.invitation",
            "--json",
        ];
        let made = self.at("at-cert", &invite).ends(0).data();
        let text = fs::read_to_string(self.path("the.invitation")).unwrap();
        assert_eq!(made["invitation"], text.trim());
        made["id"].as_str().unwrap().to_owned()
    }

    fn invitations(&self) -> Vec<Value> {
        let list = ["invite", "list", "--json"];
        let data = self.at("at-cert", &list).ends(0).data();
        data.as_array().unwrap().clone()
    }

    /// Proposes to admit who knocked with this invitation. Gives the roster's id.
    fn propose(&self, invitation: &str) -> String {
        let admit = format!("knock:{invitation}=eu");
        let propose = [
            "roster", "propose", "--reason", "invited", "--admit", &admit, "--json",
        ];
        let proposed = self.at("at-cert", &propose).ends(0).data();
        proposed["roster"].as_str().unwrap().to_owned()
    }

    /// Prepares and commits it at both founders.
    fn decide(&self, roster: &str) {
        for member in &SLUGS[..FOUNDERS] {
            self.next_is(member, "prepare");
            self.at(member, &["roster", "prepare", roster]).ends(0);
        }
        for member in &SLUGS[..FOUNDERS] {
            self.next_is(member, "commit");
            let sign = ["roster", "sign", roster, "--passphrase-file", "passphrase"];
            self.at(member, &sign).ends(0);
        }
    }

    fn fingerprint_of(&self, member: &str) -> String {
        let card = fs::read(self.path(member).join("own.card")).unwrap();
        let card = check_card(&card_from_file(&card).unwrap()).unwrap();
        card.id.to_string()
    }
}

#[test]
fn from_the_invitation_to_the_first_received_bundle() {
    let world = World::new();
    let mut nodes: Vec<Process> = SLUGS[..FOUNDERS]
        .iter()
        .map(|member| world.serve(member))
        .collect();
    let id = world.invite();
    let mode = fs::metadata(world.path("the.invitation")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    assert_eq!(world.invitations()[0]["state"], "open");
    // Without a door nobody can knock.
    let invite = ["invite", "--door", "/ip4/127.0.0.1/tcp/4748"];
    world.at("be-cert", &invite).ends(1).err_has("has no door");

    // Nobody is believed unseen: not the invitation, and nothing is left at the
    // door before the federation was compared.
    let fingerprint = ["--fingerprint", &world.fingerprint];
    world
        .join("xx-cert", &[])
        .ends(2)
        .err_has("nobody compared the fingerprint");
    world
        .join("xx-cert", &["--fingerprint", &"ab".repeat(32)])
        .ends(18)
        .err_has("another federation than the one you compared");
    assert_eq!(world.invitations()[0]["state"], "open");
    let text = fs::read_to_string(world.path("the.invitation")).unwrap();
    let typed = text.trim().replace("watchfire1", "watchfire1 0");
    let join = ["join", &typed, "--passphrase-file", "passphrase"];
    world
        .at("xx-cert", &join)
        .ends(18)
        .err_has("checksum does not hold");

    // The card lies at the door, and both sides see the same fingerprint.
    let waiting = world.join("xx-cert", &fingerprint).ends(0).data();
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(waiting["to_consent"], Value::from(Vec::<String>::new()));
    let knock = world.invitations()[0]["knock"].clone();
    assert_eq!(world.invitations()[0]["state"], "knocked");
    assert_eq!(knock["slug"], "xx-cert");
    assert_eq!(knock["card_fingerprint"], waiting["card_fingerprint"]);
    assert_eq!(knock["card_fingerprint"], world.fingerprint_of("xx-cert"));
    let card = ["invite", "card", &id, "-o", "xx.card"];
    world.at("at-cert", &card).ends(0);
    assert_eq!(
        fs::read(world.path("xx.card")).unwrap(),
        fs::read(world.path("xx-cert/own.card")).unwrap()
    );
    let nobody = [
        "roster",
        "propose",
        "--reason",
        "x",
        "--admit",
        "knock:00000000",
    ];
    world
        .at("at-cert", &nobody)
        .ends(14)
        .err_has("no invitation 00000000");

    // The proposal is shown at the door to its own node, and consented to there.
    let roster = world.propose(&id);
    let waiting = world.join("xx-cert", &[]).ends(0).data();
    assert_eq!(waiting["to_consent"], Value::from(vec![roster.clone()]));
    // Neither to another nor to whatever begins alike.
    for other in ["0".repeat(64).as_str(), &roster[..16]] {
        let waiting = world.join("xx-cert", &["--consent", other]).ends(0);
        let waiting = waiting.data();
        assert_eq!(waiting["to_consent"], Value::from(vec![roster.clone()]));
    }
    world.next_is("be-cert", "consent");
    let consent = ["--consent", &roster];
    let waiting = world.join("xx-cert", &consent).ends(0).data();
    assert_eq!(waiting["consented"], Value::from(vec![roster.clone()]));
    let waiting = world.join("xx-cert", &consent).ends(0).data();
    assert_eq!(
        waiting["consented"],
        Value::from(Vec::<String>::new()),
        "once"
    );

    // It waits at the door while the members vote.
    let joining = world
        .join_command("xx-cert", &["--wait", "--timeout", "120"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    world.decide(&roster);
    let joined = Said::of(joining.wait_with_output().unwrap()).ends(0).data();
    assert_eq!(joined["state"], "joined");
    assert_eq!(
        joined["members"],
        Value::from(vec!["at-cert", "be-cert", "xx-cert"])
    );
    assert!(!world.path("xx-cert/joining").exists());
    assert_eq!(world.invitations()[0]["state"], "member");
    let again = world.join("xx-cert", &[]).ends(0).data();
    assert_eq!(again["already_joined"], true);

    nodes.push(world.serve("xx-cert"));
    world.until("be-cert", &["status", "--json"], |status| {
        let peers = status["peers"].as_array().unwrap();
        peers.len() == 2 && peers.iter().all(|peer| peer["state"] == "connected")
    });
    fs::write(world.path("intel.json"), document(1, 16)).unwrap();
    let publish = ["publish", "intel.json", "--tlp", "clear"];
    world.at("be-cert", &publish).ends(0);
    world.until("xx-cert", &["status", "--json"], |status| {
        status["envelopes"] == 1
    });
    let withdraw = ["invite", "withdraw", &id];
    world.at("at-cert", &withdraw).ends(0);
    assert!(world.invitations().is_empty());
    for node in nodes {
        node.terminate("a node");
    }
}

/// Both at once, as processes; then again after the member's node has started
/// anew. The loser's card is nowhere.
#[test]
fn attack_19_one_invitation_at_two_nodes_admits_one_also_after_a_restart() {
    let world = World::new();
    let node = world.serve("at-cert");
    let other = world.serve("be-cert");
    let id = world.invite();
    let fingerprint = ["--fingerprint", &world.fingerprint];
    let newcomers = ["xx-cert", "yy-cert"];
    let racing = newcomers.map(|member| {
        let mut command = world.join_command(member, &fingerprint);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    let codes = racing.map(|child| Said::of(child.wait_with_output().unwrap()).code);
    assert!(codes == [0, 12] || codes == [12, 0], "{codes:?}");
    let (winner, loser) = match codes {
        [0, _] => (newcomers[0], newcomers[1]),
        [..] => (newcomers[1], newcomers[0]),
    };
    node.kill("at-cert");
    let node = world.serve("at-cert");
    world
        .join(loser, &[])
        .ends(12)
        .err_has("the door does not take this invitation");
    // A lost answer is asked again.
    world.join(winner, &[]).ends(0);
    let kept = world.invitations();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["knock"]["slug"], winner);
    let file = fs::read_to_string(world.path("at-cert/store.invitations")).unwrap();
    let text = fs::read_to_string(world.path("the.invitation")).unwrap();
    let _: Invitation = text.parse().unwrap();
    assert!(!file.contains(text.trim()));

    // Its root is elsewhere: consent goes by a packet.
    world.until("at-cert", &["status", "--json"], |status| {
        status["peers"][0]["state"] == "connected"
    });
    let roster = world.propose(&id);
    let root = format!("{winner}/keys/root.key");
    fs::rename(world.path(&root), world.path("offline.key")).unwrap();
    world
        .join(winner, &["--consent", &roster])
        .ends(14)
        .err_has("the root key is not at");
    let packet = ["--packet", "consent.packet"];
    world.join(winner, &packet).ends(0);
    let unsigned = world.join(winner, &packet).ends(0).data();
    assert_eq!(unsigned["to_consent"], Value::from(vec![roster.clone()]));
    let sign = [
        "roster",
        "sign",
        "--packet",
        "consent.packet",
        "--root-key",
        "offline.key",
        "--passphrase-file",
        "passphrase",
    ];
    world.at("no-such-directory", &sign).ends(0);
    let consented = world.join(winner, &packet).ends(0).data();
    assert_eq!(consented["consented"], Value::from(vec![roster.clone()]));
    world.decide(&roster);
    let joined = world.join(winner, &[]).ends(0).data();
    assert_eq!(joined["state"], "joined");
    // The chain goes on past the loser, whose card was never anywhere.
    let waiting = world.join(loser, &[]);
    assert_eq!(waiting.code, 12, "{}", waiting.err);
    node.terminate("at-cert");
    other.terminate("be-cert");
}

/// The question that brings the consent of this root.
fn consent_of(invitation: &Invitation, roster: RosterId, root: u64) -> Vec<u8> {
    let root = keys(root).root;
    let vote = Vote {
        federation: invitation.federation,
        epoch: 1,
        roster,
        round: 0,
        by: VoteBy::Consent {
            key: root.public().to_bytes(),
        },
    };
    let signed: Signed<Vote> = Signed::seal(codec::encode(&vote), &root);
    let vote = SignedBytes::new(signed).unwrap();
    codec::encode(&DoorRequest::Consent { vote })
}

/// A stranger at the door with everything but an invitation.
#[test]
fn attack_19_a_stranger_learns_nothing_and_leaves_nothing() {
    let world = World::new();
    let node = world.serve("at-cert");
    let id = world.invite();
    let text = fs::read_to_string(world.path("the.invitation")).unwrap();
    let invitation: Invitation = text.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |number: u64, bytes: Vec<u8>| {
        let seed = keys(number).transport.expose_seed();
        let keypair = keypair_of(&mut seed.expose().clone()).unwrap();
        let federation = *invitation.federation.as_bytes();
        let peer = peer_id_of(&invitation.door);
        let address = world.door.parse().unwrap();
        let asked = door::ask(&keypair, &federation, address, peer, bytes);
        let answer = runtime.block_on(asked).unwrap();
        gate::door_answer(&answer).unwrap()
    };
    let card =
        |slug: &str| card_from_file(&fs::read(world.path(slug).join("own.card")).unwrap()).unwrap();
    let knock = |token: &Token, slug: &str| {
        let token = token.clone();
        codec::encode(&DoorRequest::Knock {
            token,
            card: card(slug),
        })
    };
    let refused = DoorAnswer::Knock { accepted: false };
    // Unknown, another's card, half a message, a longer one, noise.
    assert_eq!(
        ask(2, knock(&Token::from_bytes([7; 32]), "xx-cert")),
        refused
    );
    assert_eq!(ask(2, knock(&invitation.token, "yy-cert")), refused);
    let whole = knock(&invitation.token, "xx-cert");
    for bytes in [
        whole[..whole.len() / 2].to_vec(),
        [&whole[..], &[0]].concat(),
        vec![4; 4_096],
        vec![255; 64],
        Vec::new(),
    ] {
        assert_eq!(ask(2, bytes), DoorAnswer::Unavailable);
    }
    // Nothing is proposed for it, and it consents to nothing.
    let next = DoorRequest::Proposal {
        after: None,
        offset: 0,
    };
    assert_eq!(ask(2, codec::encode(&next)), DoorAnswer::Unavailable);
    let nothing = RosterId::from_bytes([1; 32]);
    let consent = consent_of(&invitation, nothing, 2);
    assert_eq!(ask(2, consent), DoorAnswer::Consent { accepted: false });
    assert_eq!(
        world.invitations()[0]["state"],
        "open",
        "nothing was used up"
    );

    // Many at once, from the one address that all of them share here.
    let federation = *invitation.federation.as_bytes();
    runtime.block_on(async {
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..64_u8 {
            let keypair = keypair_of(&mut [number; 32]).unwrap();
            let peer = peer_id_of(&invitation.door);
            let address = world.door.parse().unwrap();
            crowd.spawn(async move {
                door::ask(&keypair, &federation, address, peer, vec![4; 4_096]).await
            });
        }
        for outcome in crowd.join_all().await.into_iter().flatten() {
            assert_eq!(gate::door_answer(&outcome), Ok(DoorAnswer::Unavailable));
        }
    });

    // The rightful one is taken, and what is proposed for it is for it alone.
    assert_eq!(ask(2, whole.clone()), DoorAnswer::Knock { accepted: true });
    assert_eq!(ask(3, knock(&invitation.token, "yy-cert")), refused);
    let roster = world.propose(&id);
    let shown = ask(2, codec::encode(&next));
    let DoorAnswer::Proposal { roster: named, .. } = shown else {
        panic!("{shown:?}");
    };
    assert_eq!(named.to_string(), roster);
    assert_eq!(ask(3, codec::encode(&next)), DoorAnswer::Unavailable);
    let consent = |number: u64, root: u64| ask(number, consent_of(&invitation, named, root));
    let (taken, left) = (
        DoorAnswer::Consent { accepted: true },
        DoorAnswer::Consent { accepted: false },
    );
    assert_eq!(consent(3, 2), left, "of another node");
    assert_eq!(consent(2, 3), left, "of another root");
    assert_eq!(consent(2, 0), left, "of a member's root");
    assert_eq!(consent(2, 2), taken);
    assert_eq!(consent(2, 2), taken, "a lost answer");
    assert_eq!(
        ask(2, codec::encode(&next)),
        DoorAnswer::Unavailable,
        "done"
    );

    // Who guesses on is refused unseen; the node goes on.
    for _ in 0..40 {
        assert_eq!(
            ask(3, knock(&Token::from_bytes([7; 32]), "yy-cert")),
            refused
        );
    }
    assert_eq!(ask(2, whole), refused, "from that address");
    world.at("at-cert", &["status", "--json"]).ends(0);
    node.terminate("at-cert");
}
