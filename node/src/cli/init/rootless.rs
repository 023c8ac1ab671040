//! `watchfire init` where the root key is elsewhere: the first node of a member
//! whose root is offline, or a further node of a member.
//!
//! The node makes its own two keys and a request for the root to sign; until
//! what comes of it is installed, it belongs to nobody.

use serde::Serialize;
use watchfire_crypto::{Passphrase, PublicKey, Purpose, SigningKey};
use watchfire_protocol::certify::{CardDraft, Wish, make_request, read_request};
use watchfire_protocol::founding::Profile;
use watchfire_protocol::limits::{CARD_BYTES_MAX, CERTIFICATE_LIFE_MS_MAX};
use watchfire_protocol::wire::envelope::SignedBytes;
use watchfire_protocol::wire::genesis::card_to_file;
use watchfire_protocol::wire::{List, Text};

use super::{InitArgs, plan, random, seal, texts};
use crate::cli::error::{CliError, Code};
use crate::cli::settings::{NodeSettings, listen_at};
use crate::cli::{Context, files};
use crate::clock::{moment, wall_ms};
use crate::disk::SledStore;
use crate::home::Home;
use crate::keystore::{
    MODE_PUBLIC, Overwrite, PassphraseSource, PassphraseUse, write_key, write_new,
};

#[derive(Serialize)]
struct Prepared {
    slug: String,
    role: &'static str,
    directory: String,
    root_key: String,
    node: String,
    request: String,
    request_fingerprint: String,
    serial: u64,
    until: String,
    listen: Vec<String>,
}

/// Whose node it becomes.
enum Whose {
    /// A member without a card: the card is asked for.
    New(Profile, PublicKey),
    /// The member of this card.
    Of(Profile, PublicKey, Box<SignedBytes<CARD_BYTES_MAX>>, u64),
}

pub(super) fn run(context: &Context, args: InitArgs) -> Result<(), CliError> {
    let ui = &context.ui;
    let (whose, settings) = whose(&args)?;
    let (profile, root_key, serial) = match &whose {
        Whose::New(profile, root) => (profile, *root, 1),
        Whose::Of(profile, root, _, serial) => (profile, *root, serial.saturating_add(1)),
    };
    let path = context.home_path()?;
    let home = Home::create(&path)?;
    let _lock = home.lock()?;
    let passphrase = PassphraseSource::choose(args.passphrase_file, files::env).obtain(
        &format!("the keys of this node of {}", profile.slug),
        PassphraseUse::Create,
    )?;
    let signing = SigningKey::from_seed(&*random()?);
    let transport = SigningKey::from_seed(&*random()?);
    let now_ms = wall_ms();
    let wish = Wish {
        slug: profile.slug.clone(),
        root_key,
        role: profile.role,
        serial,
        incarnation: 1,
        not_before_ms: now_ms,
        not_after_ms: now_ms.saturating_add(CERTIFICATE_LIFE_MS_MAX),
        card: match &whose {
            Whose::New(profile, _) => Some(draft(profile)?),
            Whose::Of(..) => None,
        },
    };
    let bytes = make_request(&wish, &signing, &transport)?;
    let request = read_request(&bytes)?;
    {
        let _progress = ui.progress("sealing the keys");
        seal_both(&home, &signing, &transport, &passphrase)?;
        settings.save(&home)?;
        drop(
            SledStore::create(&home.store())
                .map_err(|error| CliError::of(Code::Failure, &error))?,
        );
        if let Whose::Of(_, _, card, _) = &whose {
            write_new(&home.own_card(), &card_to_file(card), MODE_PUBLIC)?;
        }
        write_new(&home.own_request(), &bytes, MODE_PUBLIC)?;
    }
    let prepared = Prepared {
        slug: profile.slug.to_string(),
        role: profile.role.name(),
        directory: path.display().to_string(),
        root_key: root_key.to_string(),
        node: request.cert.node().to_string(),
        request: home.own_request().display().to_string(),
        request_fingerprint: hex::encode(request.fingerprint),
        serial,
        until: moment(wish.not_after_ms),
        listen: texts(&settings.listen),
    };
    if ui.json() {
        return ui.document("init-request", &prepared);
    }
    ui.fields(&[
        ("member", format!("{} ({})", prepared.slug, prepared.role)),
        ("directory", prepared.directory),
        ("root key", files::grouped(&prepared.root_key)),
        ("node", files::grouped(&prepared.node)),
        ("request", prepared.request),
        ("fingerprint", files::grouped(&prepared.request_fingerprint)),
        ("serial", prepared.serial.to_string()),
        ("until", prepared.until),
        ("listens on", prepared.listen.join(" ")),
    ])?;
    ui.note(files::READ_ALOUD);
    ui.note(
        "next: carry the request to where the root key is, compare the fingerprint, and run there",
    );
    ui.note("  watchfire key ceremony FILE");
    ui.note("then bring back what comes of it, for \"watchfire key install\"");
    Ok(())
}

fn whose(args: &InitArgs) -> Result<(Whose, NodeSettings), CliError> {
    let Some(path) = &args.node_of else {
        let (profile, settings) = plan(args)?;
        let Some(root) = &args.root else {
            return Err(CliError::new(Code::Usage, "no root key was named"));
        };
        return Ok((Whose::New(profile, files::root_named(root)?), settings));
    };
    let (card, checked) = files::card(path)?;
    let addresses = |texts: &[Text<128>]| {
        texts
            .iter()
            .filter_map(|text| text.as_str().parse().ok())
            .collect::<Vec<_>>()
    };
    let settings = NodeSettings {
        listen: listen_at(&args.listen, &addresses(checked.card.addresses.as_slice())),
        door_listen: listen_at(
            &args.door_listen,
            &addresses(checked.card.door_addresses.as_slice()),
        ),
    };
    let profile = Profile {
        slug: checked.card.slug.clone(),
        role: checked.card.role,
        contact: checked.card.contact.clone(),
        addresses: Vec::new(),
        door_addresses: Vec::new(),
    };
    let serial = checked.certificate.serial;
    Ok((
        Whose::Of(profile, checked.root_key, Box::new(card), serial),
        settings,
    ))
}

fn draft(profile: &Profile) -> Result<CardDraft, CliError> {
    let too_long = |error: watchfire_protocol::wire::TooLong| {
        CliError::new(Code::Usage, format!("the card would be too long: {error}"))
    };
    let texts = |texts: &[String]| {
        texts
            .iter()
            .map(|text| Text::new(text.as_str()).map_err(too_long))
            .collect::<Result<Vec<Text<128>>, _>>()
    };
    Ok(CardDraft {
        contact: profile.contact.clone(),
        addresses: List::new(texts(&profile.addresses)?).map_err(too_long)?,
        door_addresses: List::new(texts(&profile.door_addresses)?).map_err(too_long)?,
    })
}

fn seal_both(
    home: &Home,
    signing: &SigningKey,
    transport: &SigningKey,
    passphrase: &Passphrase,
) -> Result<(), CliError> {
    let cost = watchfire_crypto::Cost::INTERACTIVE;
    for (place, purpose, key) in [
        (home.signing_key(), Purpose::Signing, signing),
        (home.transport_key(), Purpose::Transport, transport),
    ] {
        let sealed = seal(purpose, key, passphrase, cost)?;
        write_key(&place, sealed.to_string().as_bytes(), Overwrite::Never)?;
    }
    Ok(())
}
