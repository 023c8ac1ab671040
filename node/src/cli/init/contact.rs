//! Whom to call at a member, as `init` is told.

use clap::Args;
use watchfire_protocol::wire::card::{Contact, DutyDesk};
use watchfire_protocol::wire::{Bytes, List, Text};

use super::text;
use crate::cli::error::{CliError, Code};

/// Languages a card has room for.
const LANGUAGES_MAX: usize = 8;

#[derive(Args, Debug)]
pub(crate) struct ContactArgs {
    /// Name of the organisation
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// Mail address of the organisation
    #[arg(long, default_value = "", hide_default_value = true)]
    mail: String,
    /// Telephone of the duty desk, with the country's number: "+43 1 000 00 00"
    #[arg(
        long,
        value_name = "PHONE",
        default_value = "",
        hide_default_value = true
    )]
    duty_phone: String,
    /// Mail address of the duty desk
    #[arg(
        long,
        value_name = "MAIL",
        default_value = "",
        hide_default_value = true
    )]
    duty_mail: String,
    /// When the duty desk answers: "Mon-Fri 08:00-18:00"
    #[arg(
        long,
        value_name = "HOURS",
        default_value = "",
        hide_default_value = true,
        requires = "duty_zone"
    )]
    duty_hours: String,
    /// Time zone of those hours: UTC, or a name such as Europe/Vienna
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "",
        hide_default_value = true,
        requires = "duty_hours"
    )]
    duty_zone: String,
    /// Language spoken there, the preferred one first, up to 8: de, de-AT, en
    #[arg(long, value_name = "TAG")]
    language: Vec<String>,
    /// Fingerprint of the OpenPGP key for mail: 40 or 64 hexadecimal digits
    #[arg(long, value_name = "FINGERPRINT")]
    pgp: Option<String>,
}

impl ContactArgs {
    /// The contact of the card.
    pub(super) fn contact(&self) -> Result<Contact, CliError> {
        if self.language.len() > LANGUAGES_MAX {
            return Err(usage(format!(
                "{} languages, where a card has room for {LANGUAGES_MAX}",
                self.language.len()
            )));
        }
        let languages = self
            .language
            .iter()
            .map(|tag| text("--language", tag))
            .collect::<Result<Vec<Text<35>>, _>>()?;
        let contact = Contact {
            name: text("--name", &self.name)?,
            mail: text("--mail", &self.mail)?,
            duty: DutyDesk {
                phone: text("--duty-phone", &self.duty_phone)?,
                mail: text("--duty-mail", &self.duty_mail)?,
                hours: text("--duty-hours", &self.duty_hours)?,
                zone: text("--duty-zone", &self.duty_zone)?,
            },
            languages: List::new(languages).map_err(|why| usage(why.to_string()))?,
            pgp: match &self.pgp {
                Some(digits) => fingerprint(digits)?,
                None => Bytes::default(),
            },
        };
        match contact.defect() {
            Some(why) => Err(usage(format!("the card would not count: {why}"))),
            None => Ok(contact),
        }
    }
}

fn usage(why: String) -> CliError {
    CliError::new(Code::Usage, why).hint("see \"watchfire init --help\"")
}

/// As people copy it: with spaces, in capitals or not.
fn fingerprint(digits: &str) -> Result<Bytes<32>, CliError> {
    let digits: String = digits.chars().filter(|digit| *digit != ' ').collect();
    let bytes = hex::decode(digits).ok().and_then(|bytes| {
        let bytes = Bytes::new(bytes).ok()?;
        matches!(bytes.len(), 20 | 32).then_some(bytes)
    });
    bytes.ok_or_else(|| {
        usage("an OpenPGP fingerprint has 40 or 64 hexadecimal digits; \"gpg --fingerprint\" prints it".to_owned())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_fingerprint_is_taken_as_it_is_printed() {
        let printed = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        assert_eq!(fingerprint(printed).unwrap().len(), 20);
        assert_eq!(fingerprint(&"0a".repeat(32)).unwrap().len(), 32);
        for bad in ["", "0123", "0x0123", &"0a".repeat(16), &"zz".repeat(20)] {
            assert!(fingerprint(bad).is_err(), "{bad}");
        }
    }
}
