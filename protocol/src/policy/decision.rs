//! What can be answered: the two outcomes, the name of every rule, the chain.

use core::fmt;

enumerable! {
    /// Why something is allowed. The names are stable: the ledger keeps them.
    AllowRule {
        ClearAnyone = "clear-anyone", "TLP:CLEAR may go to anyone";
        CiphertextToMembers = "ciphertext-to-members",
            "any current member may relay what only the audience can open";
        AudienceHolds = "audience-holds", "a node of the audience keeps its envelopes";
        HubHolds = "hub-holds", "a hub keeps sealed envelopes for whoever is away";
        KeyToAudience = "key-to-audience", "keys go to the signed audience";
        AudienceOpens = "audience-opens", "a node of the signed audience opens it";
        RedDirect = "red-direct", "TLP:RED goes straight to the nodes of the named people";
        RedByMailbox = "red-by-mailbox",
            "the author signed allow-relay, so a hub's mailbox may hold it";
        NamedPerson = "named-person", "the author named this person";
        OwnPeople = "own-people", "the people of an organisation in the audience may have it";
        ListedClient = "listed-client",
            "a client listed as needing it may have what is not AMBER+STRICT or RED";
        Community = "community", "TLP:GREEN may go to the community";
    }
}

enumerable! {
    /// Why something is denied, and what to do about it. The names are stable:
    /// ledger, receipts and `--json` carry them.
    DenyRule {
        NotANode = "not-a-node",
            "envelopes and keys are for members' nodes; give readers what the node opened";
        NotAReader = "not-a-reader",
            "a node is sent envelopes, not plaintext; ask about the person or client who reads";
        NoKeyInClear = "no-key-in-clear",
            "TLP:CLEAR is not sealed, so there is no key to give; send the envelope itself";
        NotInAudience = "not-in-audience",
            "only nodes of the signed audience get keys and plaintext; ask the author to publish to an audience with this member in it";
        NotAHolder = "not-a-holder",
            "only the audience and hubs keep sealed envelopes; pass it on and drop it";
        RedDirectOnly = "red-direct-only",
            "TLP:RED goes only to the nodes of the named people; have the author name the person";
        RedWithoutAllowRelay = "red-without-allow-relay",
            "the author did not sign allow-relay; send straight to the node, or have the author publish again with --allow-relay";
        GreenCommunityOnly = "marking-green-community-only",
            "TLP:GREEN stays in the community; have the reader sign in as a client or partner, or ask the author to declassify";
        AmberListedClientsOnly = "marking-amber-listed-clients-only",
            "TLP:AMBER goes to own people and listed clients; list the client if it needs to know, or ask the author to declassify";
        StrictOwnPeopleOnly = "marking-strict-own-people-only",
            "TLP:AMBER+STRICT may not leave this organisation; ask the author to declassify";
        RedNamedOnly = "marking-red-named-only",
            "TLP:RED is for the people the author named; ask the author to name this person";
        Recalled = "recalled",
            "the author recalled it and only the tombstone stays; ask the author for a new version";
        Suspended = "suspended",
            "the subject is suspended; wait for the end of the suspension or settle it with the members who signed it";
        NotInRoster = "not-in-roster",
            "the subject was removed or never admitted; it has to be admitted anew, or its login given back";
        LocallyDistrusted = "locally-distrusted",
            "this node's operator distrusts the subject; lift the distrust first";
        AuthorDistrusted = "author-distrusted",
            "this node's operator distrusts its author; own people still read it, and for all others the distrust has to be lifted first";
        AuthorQuarantined = "author-quarantined",
            "this envelope is quarantined; confirm it with the author by another channel, then accept it by hand";
        Expired = "expired",
            "its not-after has passed; own people may still read it as history, for all else ask the author for a new version";
        RosterStale = "roster-stale",
            "this node has not heard from enough members lately to seal or send this; it waits in the queue, check the connections";
        DrillNotExported = "drill-not-exported",
            "this is data of an exercise and never reaches a sensor; export real data only";
        OperatorRule = "operator-rule",
            "a rule of this node's operator refuses it; see the local policy";
    }
}

/// The answer, with the rule that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Decision {
    /// It may be done.
    Allow(AllowRule),
    /// It may not be done.
    Deny(DenyRule),
}

impl Decision {
    /// Whether it may be done. For counting and filtering; whoever acts on it
    /// wants a [`Release`](super::Release).
    pub const fn is_allowed(self) -> bool {
        match self {
            Self::Allow(_) => true,
            Self::Deny(_) => false,
        }
    }

    /// The stable name of the rule, in kebab case.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Allow(rule) => rule.name(),
            Self::Deny(rule) => rule.name(),
        }
    }

    /// The rule in a sentence for people; of a denial, with what to do.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Allow(rule) => rule.about(),
            Self::Deny(rule) => rule.about(),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.is_allowed() { "allow" } else { "deny" };
        write!(f, "{word} ({}): {}", self.rule(), self.about())
    }
}

/// What one rule of the chain said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing against it; the next rule is asked.
    Passed,
    /// The last one: no rule was against it, and this one is for it.
    Allowed(AllowRule),
    /// The last one: this rule is against it.
    Denied(DenyRule),
}

/// One line of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The stable name of what was asked; that of [`Rule`](super::Rule), or
    /// `outcome` on the line that allows.
    pub name: &'static str,
    /// What was asked, for people.
    pub asks: &'static str,
    /// What came out.
    pub verdict: Verdict,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.name, self.asks)?;
        match self.verdict {
            Verdict::Passed => f.write_str("Passed."),
            Verdict::Allowed(rule) => write!(f, "{}", Decision::Allow(rule)),
            Verdict::Denied(rule) => write!(f, "{}", Decision::Deny(rule)),
        }
    }
}
