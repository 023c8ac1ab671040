//! Whom to call at a member: the contact part of a card.
//!
//! It is read when something has gone wrong, by people who may not share a
//! language or an hour of the day. So what a program can hold to a form has one,
//! and every member sees the same card refused; the rest is one plain line.

use super::bounded::{Bytes, List, Text};
use bincode::{Decode, Encode};

/// Whom to call. Everything in it may be left empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Contact {
    /// The organisation's name.
    pub name: Text<128>,
    /// Its mail address.
    pub mail: Text<128>,
    /// Who answers at once.
    pub duty: DutyDesk,
    /// Languages that are spoken there, the preferred one first: tags of BCP 47
    /// (RFC 5646), such as `de-AT`.
    pub languages: List<Text<35>, 8>,
    /// Fingerprint of the OpenPGP key that mail to it is encrypted for: 20 bytes
    /// of a key of version 4, 32 of one of version 6 (RFC 9580, 5.5.4); empty for
    /// none.
    pub pgp: Bytes<32>,
}

/// Who answers at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DutyDesk {
    /// Its telephone number, with the country's: `+43 1 000 00 00`.
    pub phone: Text<64>,
    /// Its mail address.
    pub mail: Text<128>,
    /// When it answers, in its own words.
    pub hours: Text<128>,
    /// The time zone those hours are in: `UTC`, or a name of the IANA time zone
    /// database, such as `Europe/Vienna`.
    pub zone: Text<48>,
}

impl Contact {
    /// Whether every field has its form. The reason, if not.
    pub fn defect(&self) -> Option<&'static str> {
        let duty = &self.duty;
        let lines = [
            self.name.as_str(),
            self.mail.as_str(),
            duty.phone.as_str(),
            duty.mail.as_str(),
            duty.hours.as_str(),
            duty.zone.as_str(),
        ];
        if lines.iter().any(|line| line.chars().any(char::is_control)) {
            return Some("its contact holds a control character");
        }
        let mails = [self.mail.as_str(), duty.mail.as_str()];
        if !mails
            .iter()
            .all(|mail| mail.is_empty() || is_mail_address(mail))
        {
            return Some("a mail address is not of the form name@domain");
        }
        if !duty.phone.as_str().is_empty() && !is_telephone(duty.phone.as_str()) {
            return Some(
                "the telephone number does not begin with + and the country, or holds more than digits, spaces, hyphens, dots and brackets",
            );
        }
        if duty.hours.as_str().is_empty() != duty.zone.as_str().is_empty() {
            return Some("hours and time zone of the duty desk go together");
        }
        if !duty.zone.as_str().is_empty() && !is_time_zone(duty.zone.as_str()) {
            return Some("the time zone is neither UTC nor a name such as Europe/Vienna");
        }
        if !self
            .languages
            .iter()
            .all(|tag| is_language_tag(tag.as_str()))
        {
            return Some("a language is no tag of BCP 47, such as de or de-AT");
        }
        if !matches!(self.pgp.len(), 0 | 20 | 32) {
            return Some("an OpenPGP fingerprint has 20 or 32 bytes");
        }
        None
    }
}

/// One `@` with something on both sides, and no space.
fn is_mail_address(text: &str) -> bool {
    !text.chars().any(char::is_whitespace)
        && text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty() && !domain.is_empty() && !domain.contains('@')
        })
}

/// As people write a number of ITU-T E.164 (RFC 3966, 5.1.1): 5 to 20 digits, so
/// that an extension fits, and what parts them.
fn is_telephone(text: &str) -> bool {
    let Some(number) = text.strip_prefix('+') else {
        return false;
    };
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    (5..=20).contains(&digits)
        && number.starts_with(|first: char| first.is_ascii_digit())
        && number.bytes().all(|byte| {
            byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/')
        })
}

/// `UTC`, or at least two parts of a name of the time zone database. Whether
/// there is such a zone changes with the database, and is not asked.
fn is_time_zone(text: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    text == "UTC" || (text.contains('/') && text.split('/').all(is_part))
}

/// The form of RFC 5646, 2.1, without its tags of former times: a language of 2 to
/// 8 letters, then parts of 1 to 8 letters and digits.
fn is_language_tag(text: &str) -> bool {
    let mut parts = text.split('-');
    let is_language = parts.next().is_some_and(|language| {
        (2..=8).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    is_language
        && parts.all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_field_has_its_form() {
        for good in ["+43 1 000 00 00", "+1 (555) 010-0199/12", "+4910000"] {
            assert!(is_telephone(good), "{good}");
        }
        for bad in ["", "+", "01 0000000", "+43 call me", "+1234", "+ 4910000"] {
            assert!(!is_telephone(bad), "{bad}");
        }
        for good in [
            "UTC",
            "Europe/Vienna",
            "America/Argentina/Salta",
            "Etc/GMT+1",
        ] {
            assert!(is_time_zone(good), "{good}");
        }
        for bad in ["CET", "", "Europe/", "/Vienna", "Europe/Vi enna", "+01:00"] {
            assert!(!is_time_zone(bad), "{bad}");
        }
        for good in ["de", "de-AT", "zh-Hant-TW", "sr-Latn", "tlh"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in ["", "d", "de_AT", "de-", "deutschland", "d3", "de-österr"] {
            assert!(!is_language_tag(bad), "{bad}");
        }
        for good in ["soc@cert.example", "a+b@[192.0.2.1]"] {
            assert!(is_mail_address(good), "{good}");
        }
        for bad in ["soc", "@cert.example", "soc@", "a@b@c", "a b@c"] {
            assert!(!is_mail_address(bad), "{bad}");
        }
    }

    #[test]
    fn an_empty_contact_is_one_and_hours_need_their_zone() {
        let mut contact = Contact::default();
        assert_eq!(contact.defect(), None);
        contact.duty.hours = Text::new("Mon-Fri 08:00-18:00").unwrap();
        assert!(contact.defect().unwrap().contains("go together"));
        contact.duty.zone = Text::new("Europe/Vienna").unwrap();
        assert_eq!(contact.defect(), None);
        for (length, holds) in [(0, true), (19, false), (20, true), (21, false), (32, true)] {
            contact.pgp = Bytes::new(vec![1; length]).unwrap();
            assert_eq!(contact.defect().is_none(), holds, "{length}");
        }
        contact.name = Text::new("CERT\u{1b}[2J").unwrap();
        assert!(contact.defect().unwrap().contains("control"));
    }
}
