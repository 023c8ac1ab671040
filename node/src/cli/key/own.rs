//! What a data directory knows of its own node: member, keys, certificate.

use watchfire_crypto::PublicKey;
use watchfire_protocol::certify::{
    CardDraft, CheckedRequest, REQUEST_FILE_BYTES_MAX, Wish, read_request,
};
use watchfire_protocol::ids::{MemberId, NodeId};
use watchfire_protocol::roster::{Certificate, Roster};
use watchfire_protocol::wire::card::{Role, Slug};

use super::DAY_MS;
use super::known::serial_highest;
use crate::certificates;
use crate::cli::error::{CliError, Code};
use crate::cli::{Context, Ui, files};
use crate::clock::wall_ms;
use crate::home::Home;
use crate::keystore::{PassphraseSource, read_bounded};

/// This node, as its data directory has it.
pub(crate) struct Own {
    /// What people call the member.
    pub(crate) slug: Slug,
    /// Signs its certificates.
    pub(crate) root_key: PublicKey,
    /// What its nodes may do.
    pub(crate) role: Role,
    /// This node's signing key.
    pub(crate) signing_key: PublicKey,
    /// This node's transport key.
    pub(crate) transport_key: PublicKey,
    /// The newest certificate of these keys, if there is one.
    pub(crate) certificate: Option<Certificate>,
    /// The highest serial of the member that is known here.
    pub(crate) serial_highest: u64,
    /// The federation it joined.
    pub(crate) roster: Option<Roster>,
    /// What a card is to say that the root has not signed yet.
    pub(crate) card: Option<CardDraft>,
}

impl Own {
    /// Reads it. No passphrase is needed.
    pub(crate) fn read(home: &Home) -> Result<Self, CliError> {
        let signing_key = files::public_half(&home.signing_key())?;
        let transport_key = files::public_half(&home.transport_key())?;
        let roster = files::roster(home)?;
        let mut own = if home.own_card().exists() {
            let card = files::own_card(home)?;
            Self {
                slug: card.card.slug,
                root_key: card.root_key,
                role: card.card.role,
                signing_key,
                transport_key,
                serial_highest: card.certificate.serial,
                certificate: None,
                roster,
                card: None,
            }
            .with(card.certificate)
        } else {
            let request = pending(home)?;
            Self {
                slug: request.slug,
                root_key: PublicKey::enrol(&request.cert.root_key)
                    .map_err(|error| CliError::of(Code::Verification, &error))?,
                role: request.cert.role,
                signing_key,
                transport_key,
                certificate: None,
                serial_highest: request.cert.serial.saturating_sub(1),
                roster,
                card: request.card,
            }
        };
        let member = MemberId::of_root(&own.root_key);
        let mut known: Vec<Certificate> = own
            .roster
            .iter()
            .flat_map(|roster| roster.certificates_of(member).cloned())
            .collect();
        if own.roster.is_none() {
            let held = certificates::installed(home);
            known.extend(held.iter().filter_map(|bytes| {
                let (id, cert) = bytes.verify(&own.root_key).ok()?;
                Some(Certificate {
                    id,
                    member,
                    root_key: own.root_key,
                    serial: cert.serial,
                    node: cert.node(),
                    signing_key: PublicKey::enrol(&cert.signing_key).ok()?,
                    transport_key: cert.transport_key,
                    incarnation: cert.incarnation,
                    role: cert.role,
                    not_before_ms: cert.not_before_ms,
                    not_after_ms: cert.not_after_ms,
                })
            }));
        }
        for certificate in known {
            own = own.with(certificate);
        }
        Ok(own)
    }

    /// This node's id.
    pub(crate) fn node(&self) -> NodeId {
        NodeId::of_transport(self.transport_key.as_bytes())
    }

    /// Whether a certificate is of this node's own keys.
    pub(crate) fn is_mine(&self, certificate: &Certificate) -> bool {
        certificate.signing_key == self.signing_key
            && certificate.transport_key == *self.transport_key.as_bytes()
    }

    /// Takes the serials of the member's other nodes that this node heard of.
    pub(super) fn learn_serials(&mut self, context: &Context, home: &Home) {
        let known = serial_highest(context, home, self);
        self.serial_highest = self.serial_highest.max(known.unwrap_or(0));
    }

    fn with(mut self, certificate: Certificate) -> Self {
        self.serial_highest = self.serial_highest.max(certificate.serial);
        let is_newer = self
            .certificate
            .as_ref()
            .is_none_or(|held| held.serial < certificate.serial);
        if self.is_mine(&certificate) && is_newer {
            self.certificate = Some(certificate);
        }
        self
    }
}

/// The request that a node without a card or certificate keeps.
fn pending(home: &Home) -> Result<CheckedRequest, CliError> {
    let path = home.own_request();
    if !path.exists() {
        return Err(CliError::new(
            Code::NotInitialised,
            format!(
                "{} is missing: this directory is not completely initialised",
                home.own_card().display()
            ),
        )
        .hint("restore it from a backup, or run \"watchfire init\" in another directory"));
    }
    let bytes = read_bounded(&path, REQUEST_FILE_BYTES_MAX)?;
    read_request(&bytes).map_err(|error| {
        let mut error = CliError::from(error);
        error.message = format!("{}: {}", path.display(), error.message);
        error
    })
}

/// For how long, and as which of the member, a certificate is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    /// Days from now, at most 90.
    pub(crate) days: u64,
    /// The serial; one more than the highest known, if absent.
    pub(crate) serial: Option<u64>,
}

/// Makes the request of this node, with its own keys.
pub(crate) fn make_request(
    home: &Home,
    own: &Own,
    validity: Validity,
    source: &PassphraseSource,
    ui: &Ui,
) -> Result<Vec<u8>, CliError> {
    let serial = next_serial(own, own.serial_highest, validity.serial)?;
    let incarnation = own
        .certificate
        .as_ref()
        .map_or(1, |certificate| certificate.incarnation);
    let (signing, transport) = files::node_keys(home, source, ui)?;
    Ok(watchfire_protocol::certify::make_request(
        &wish(own, validity.days, serial, incarnation),
        &signing,
        &transport,
    )?)
}

/// The serial to ask for: the next one after all that are known, or the one that
/// was named, which must not be below.
pub(super) fn next_serial(own: &Own, known: u64, named: Option<u64>) -> Result<u64, CliError> {
    let next = own.serial_highest.max(known).saturating_add(1);
    let serial = named.unwrap_or(next);
    if serial < next {
        return Err(CliError::new(
            Code::Usage,
            format!("serial {serial} is used: the next one is {next}"),
        ));
    }
    Ok(serial)
}

/// What this node wishes to be certified as.
pub(super) fn wish(own: &Own, days: u64, serial: u64, incarnation: u64) -> Wish {
    let now_ms = wall_ms();
    Wish {
        slug: own.slug.clone(),
        root_key: own.root_key,
        role: own.role,
        serial,
        incarnation,
        not_before_ms: now_ms,
        not_after_ms: now_ms.saturating_add(days.saturating_mul(DAY_MS)),
        card: own.card.clone(),
    }
}
