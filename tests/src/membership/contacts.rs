//! Whom to call, in cards: every field once in its form and once not.

use super::{Case, Subject, card, id_of, signed_card};
use crate::forge::Forge;
use watchfire_protocol::wire::card::{Card, Contact, DutyDesk};
use watchfire_protocol::wire::{Bytes, List, Text, codec};

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

fn full() -> Contact {
    Contact {
        name: text("CERT Example, Département d'exemple"),
        mail: text("info@cert.example"),
        duty: DutyDesk {
            phone: text("+43 1 000 00 00"),
            mail: text("soc@cert.example"),
            hours: text("Mon-Fri 08:00-18:00"),
            zone: text("Europe/Vienna"),
        },
        languages: List::new(vec![text("de-AT"), text("en"), text("sr-Latn")]).unwrap(),
        pgp: Bytes::new((0..20).collect()).unwrap(),
    }
}

pub(super) fn cases(forge: &Forge) -> Vec<Case> {
    let with = |contact| Card {
        contact,
        ..card(forge, 0)
    };
    let root = &forge.keys[0].root;
    let good = |name, what, contact| {
        let bytes = codec::encode(&with(contact));
        Case {
            name,
            what,
            subject: Subject::Card,
            outcome: Ok(id_of::<Card>(&bytes)),
            bytes: signed_card(&bytes, root),
        }
    };
    let pgp = |length| Bytes::new(vec![7; length]).unwrap();
    let mut cases = vec![
        good("card-contact-full", "every field of the contact", full()),
        good(
            "card-contact-pgp-of-32",
            "the fingerprint of an OpenPGP key of version 6",
            Contact {
                pgp: pgp(32),
                ..full()
            },
        ),
    ];
    let duty = |change: fn(&mut DutyDesk)| {
        let mut contact = full();
        change(&mut contact.duty);
        contact
    };
    let bad: [(&str, &str, Contact, &str); 9] = [
        (
            "card-contact-control-character",
            "an escape in the name would steer a terminal",
            Contact {
                name: text("CERT\u{1b}[2J"),
                ..full()
            },
            "control character",
        ),
        (
            "card-contact-mail-without-domain",
            "soc",
            duty(|duty| duty.mail = text("soc")),
            "mail address",
        ),
        (
            "card-contact-phone-without-country",
            "01 000 00 00 rings elsewhere for everybody abroad",
            duty(|duty| duty.phone = text("01 000 00 00")),
            "telephone",
        ),
        (
            "card-contact-hours-without-zone",
            "nobody abroad knows when that is",
            duty(|duty| duty.zone = text("")),
            "go together",
        ),
        (
            "card-contact-zone-without-hours",
            "a zone of nothing",
            duty(|duty| duty.hours = text("")),
            "go together",
        ),
        (
            "card-contact-zone-of-three-letters",
            "CET is summer time half of the year",
            duty(|duty| duty.zone = text("CET")),
            "time zone",
        ),
        (
            "card-contact-language-with-underscore",
            "de_AT is a locale",
            Contact {
                languages: List::new(vec![text("de_AT")]).unwrap(),
                ..full()
            },
            "BCP 47",
        ),
        (
            "card-contact-pgp-of-8",
            "a key id is no fingerprint",
            Contact {
                pgp: pgp(8),
                ..full()
            },
            "20 or 32",
        ),
        (
            "card-contact-pgp-of-19",
            "a byte is missing",
            Contact {
                pgp: pgp(19),
                ..full()
            },
            "20 or 32",
        ),
    ];
    cases.extend(bad.map(|(name, what, contact, about)| Case {
        name,
        what,
        subject: Subject::Card,
        bytes: signed_card(&codec::encode(&with(contact)), root),
        outcome: Err(("contradiction", about)),
    }));
    cases
}
