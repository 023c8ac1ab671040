//! `watchfire init`: the keys, card and directory of a new member.

use std::path::PathBuf;
use std::thread;

use clap::Args;
use libp2p::Multiaddr;
use serde::Serialize;
use watchfire_crypto::keyfile::ENTROPY_BYTES;
use watchfire_crypto::{Cost, KeyFile, Passphrase, Purpose, SigningKey};
use watchfire_protocol::founding::{Keys, Profile, make_card};
use watchfire_protocol::roster::check_card;
use watchfire_protocol::wire::Text;
use watchfire_protocol::wire::card::{Role, Slug};
use watchfire_protocol::wire::genesis::card_to_file;
use zeroize::Zeroizing;

use super::error::{CliError, Code};
use super::settings::{
    NodeSettings, PORT_DEFAULT, dial_address, is_loopback, listen_address, listen_at,
};
use super::{Context, files};

mod contact;
mod rootless;

use crate::disk::SledStore;
use crate::home::Home;
use crate::keystore::{
    MODE_PUBLIC, Overwrite, PassphraseSource, PassphraseUse, write_key, write_new,
};

/// Addresses a card has room for.
const ADDRESSES_MAX: usize = 8;

/// Addresses of its door a card has room for.
const DOORS_MAX: usize = 4;

/// Create a member: its keys, its card and its data directory
///
/// The card says who you are and where your node can be reached. Send it to
/// whoever creates the federation. The root key stands for your organisation:
/// move keys/root.key to a medium kept offline once the federation is founded.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watchfire init --slug at-cert --root root.public --address /ip4/192.0.2.1/tcp/4747
  watchfire init --node-of own.card --listen /ip4/0.0.0.0/tcp/4747
  watchfire init --slug at-cert --name \"CERT Example\" --duty-phone \"+43 1 000 00 00\" --duty-hours \"at all hours\" --duty-zone UTC --language de --language en --address /ip4/192.0.2.1/tcp/4747
  watchfire init --slug at-cert --address /dns4/node.cert.example/udp/4747/quic-v1 --passphrase-file secret")]
pub(crate) struct InitArgs {
    /// Short name of the organisation: 2 to 32 of a-z, 0-9 and hyphens
    #[arg(long, required_unless_present = "node_of")]
    slug: Option<Slug>,
    /// What the node does: agency publishes and reads, hub carries for others, observer reads
    #[arg(long, default_value = "agency")]
    role: Role,
    #[command(flatten)]
    contact: contact::ContactArgs,
    /// Address others dial, up to 8 [default: this machine alone]
    #[arg(long, value_name = "ADDRESS", value_parser = dial_address)]
    address: Vec<Multiaddr>,
    /// Address to listen on [default: every interface, on the ports of --address]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    listen: Vec<Multiaddr>,
    /// Address of the door, where those ask who are no member yet, up to 4 [default: no door]
    #[arg(long, value_name = "ADDRESS", value_parser = dial_address)]
    door: Vec<Multiaddr>,
    /// Address the door listens on [default: every interface, on the ports of --door]
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address, requires = "door")]
    door_listen: Vec<Multiaddr>,
    /// Make no root key here, and ask this one by a file: root.public of "key ceremony", or its 64 digits
    #[arg(long, value_name = "KEY", conflicts_with = "root_passphrase_file")]
    root: Option<String>,
    /// Make a further node of the member of this card, to replace one or beside it
    #[arg(long, value_name = "CARD", conflicts_with_all = ["slug", "role", "name", "mail", "duty_phone", "duty_mail", "duty_hours", "duty_zone", "language", "pgp", "address", "door", "root", "root_passphrase_file"])]
    node_of: Option<PathBuf>,
    /// Read the passphrase of the keys from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Give the root key a passphrase of its own, from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    root_passphrase_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Created {
    slug: String,
    role: &'static str,
    directory: String,
    card: String,
    card_fingerprint: String,
    member: String,
    addresses: Vec<String>,
    listen: Vec<String>,
    certificate_until: String,
}

pub(crate) fn run(context: &Context, args: InitArgs) -> Result<(), CliError> {
    if args.root.is_some() || args.node_of.is_some() {
        return rootless::run(context, args);
    }
    let ui = &context.ui;
    let (profile, settings) = plan(&args)?;
    let path = context.home_path()?;
    let home = Home::create(&path)?;
    // Two of these at once would make one directory of two halves.
    let _lock = home.lock()?;
    let passphrase = PassphraseSource::choose(args.passphrase_file, files::env).obtain(
        &format!("the keys of {}", profile.slug),
        PassphraseUse::Create,
    )?;
    let root_passphrase = args
        .root_passphrase_file
        .map(|file| PassphraseSource::File(file).obtain("the root key", PassphraseUse::Create))
        .transpose()?;

    let keys = new_keys()?;
    let card = make_card(&profile, &keys, crate::clock::wall_ms()).map_err(|error| {
        CliError::new(Code::Usage, format!("the card would be too long: {error}"))
    })?;
    let checked = check_card(&card)?;
    {
        let progress = ui.progress("sealing the keys");
        let sealed = seal_all(
            &keys,
            root_passphrase.as_ref().unwrap_or(&passphrase),
            &passphrase,
        )?;
        progress.now("writing");
        let places = [home.root_key(), home.signing_key(), home.transport_key()];
        for (place, sealed) in places.iter().zip(&sealed) {
            write_key(place, sealed.to_string().as_bytes(), Overwrite::Never)?;
        }
        settings.save(&home)?;
        // Made here and nowhere else: a node whose store is gone must not run
        // on an empty one.
        drop(
            SledStore::create(&home.store())
                .map_err(|error| CliError::of(Code::Failure, &error))?,
        );
        write_new(&home.own_card(), &card_to_file(&card), MODE_PUBLIC)?;
    }

    let created = Created {
        slug: profile.slug.to_string(),
        role: profile.role.name(),
        directory: path.display().to_string(),
        card: home.own_card().display().to_string(),
        card_fingerprint: checked.id.to_string(),
        member: checked.certificate.member.to_string(),
        addresses: profile.addresses.clone(),
        listen: texts(&settings.listen),
        certificate_until: crate::clock::moment(checked.certificate.not_after_ms),
    };
    if ui.json() {
        return ui.document("init", &created);
    }
    ui.fields(&[
        ("member", format!("{} ({})", created.slug, created.role)),
        ("directory", created.directory),
        ("card", created.card),
        ("fingerprint", files::grouped(&created.card_fingerprint)),
        ("reached at", created.addresses.join(" ")),
        ("listens on", created.listen.join(" ")),
        ("certified until", created.certificate_until),
    ])?;
    if args.address.is_empty() {
        ui.note(
            "note: only this machine can reach these addresses; give --address when others shall",
        );
    } else if args.address.iter().any(is_loopback) {
        ui.note("note: a loopback address is reached from this machine alone");
    }
    ui.note(files::READ_ALOUD);
    ui.note("next: send the card to whoever creates the federation, and read its fingerprint to them by telephone");
    ui.note("then: \"watchfire federation sign GENESIS\", and move keys/root.key to a medium kept offline");
    ui.note("or, where a member of a federation that is there has invited you: \"watchfire join INVITATION\"");
    Ok(())
}

/// What was asked for, with what was left open filled in.
fn plan(args: &InitArgs) -> Result<(Profile, NodeSettings), CliError> {
    let too_many = |flag: &str, found: usize, most: usize| {
        CliError::new(
            Code::Usage,
            format!("{found} addresses with {flag}, where a card has room for {most}"),
        )
    };
    if args.address.len() > ADDRESSES_MAX {
        return Err(too_many("--address", args.address.len(), ADDRESSES_MAX));
    }
    if args.door.len() > DOORS_MAX {
        return Err(too_many("--door", args.door.len(), DOORS_MAX));
    }
    let addresses = if args.address.is_empty() {
        let default = [
            format!("/ip4/127.0.0.1/tcp/{PORT_DEFAULT}"),
            format!("/ip4/127.0.0.1/udp/{PORT_DEFAULT}/quic-v1"),
        ];
        default
            .iter()
            .map(|text| dial_address(text).map_err(|why| CliError::new(Code::Failure, why)))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        args.address.clone()
    };
    let settings = NodeSettings {
        listen: listen_at(&args.listen, &addresses),
        door_listen: listen_at(&args.door_listen, &args.door),
    };
    let Some(slug) = args.slug.clone() else {
        return Err(CliError::new(Code::Usage, "--slug is missing"));
    };
    let contact = args.contact.contact()?;
    let profile = Profile {
        slug,
        role: args.role,
        contact,
        addresses: texts(&addresses),
        door_addresses: texts(&args.door),
    };
    Ok((profile, settings))
}

fn text<const MAX: usize>(flag: &str, value: &str) -> Result<Text<MAX>, CliError> {
    if value.chars().any(char::is_control) {
        return Err(CliError::new(
            Code::Usage,
            format!("{flag} holds a control character; write it in one plain line"),
        ));
    }
    Text::new(value).map_err(|error| {
        CliError::new(
            Code::Usage,
            format!(
                "{flag} is too long: {} bytes, where {} fit",
                error.length, error.length_max
            ),
        )
    })
}

pub(super) fn random<const LENGTH: usize>() -> Result<Zeroizing<[u8; LENGTH]>, CliError> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| {
        CliError::new(
            Code::Failure,
            format!("the system gives no randomness: {error}"),
        )
    })?;
    Ok(bytes)
}

fn new_keys() -> Result<Keys, CliError> {
    Ok(Keys::from_seeds(&*random()?, &*random()?, &*random()?))
}

fn texts(addresses: &[Multiaddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn seal(
    purpose: Purpose,
    key: &SigningKey,
    passphrase: &Passphrase,
    cost: Cost,
) -> Result<KeyFile, CliError> {
    let entropy = random::<ENTROPY_BYTES>()?;
    Ok(KeyFile::seal_key(purpose, key, passphrase, cost, &entropy)?)
}

/// Seals the three keys side by side: each takes a second on purpose. The root
/// key may have a passphrase of its own.
fn seal_all(
    keys: &Keys,
    of_root: &Passphrase,
    of_node: &Passphrase,
) -> Result<[KeyFile; 3], CliError> {
    thread::scope(|scope| {
        let root = scope.spawn(|| seal(Purpose::Root, &keys.root, of_root, Cost::SENSITIVE));
        let signing =
            scope.spawn(|| seal(Purpose::Signing, &keys.signing, of_node, Cost::INTERACTIVE));
        let transport = seal(
            Purpose::Transport,
            &keys.transport,
            of_node,
            Cost::INTERACTIVE,
        )?;
        let join = |task: thread::ScopedJoinHandle<'_, Result<KeyFile, CliError>>| {
            task.join()
                .unwrap_or_else(|_| Err(CliError::new(Code::Failure, "sealing a key failed")))
        };
        Ok([join(root)?, join(signing)?, transport])
    })
}
