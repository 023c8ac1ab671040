//! What happens to the membership of a federation: who is proposed, suspended,
//! restored from an old copy or run twice.

/// What people do about membership, and what befalls hosts beside faults.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    /// What a person takes until it acts, drawn each time, in milliseconds.
    pub person_ms: (u64, u64),
    /// Rosters that somebody proposes.
    pub motions: Vec<Motion>,
    /// Members that others suspend.
    pub suspensions: Vec<Suspending>,
    /// Hosts that go on from an old copy of their disk.
    pub restores: Vec<Restoring>,
    /// Hosts that run twice.
    pub clones: Vec<Cloning>,
}

/// A roster that somebody proposes, and proposes again where another is decided
/// first.
#[derive(Clone, Debug)]
pub struct Motion {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// At which host.
    pub by: usize,
    /// Who is to enter.
    pub admit: Vec<usize>,
    /// Who is to leave.
    pub expel: Vec<usize>,
}

/// A member that others suspend.
#[derive(Clone, Debug)]
pub struct Suspending {
    /// When, in milliseconds; each of them acts when its person does.
    pub at_ms: u64,
    /// Whom.
    pub host: usize,
    /// At which hosts.
    pub by: Vec<usize>,
    /// For how long, in milliseconds.
    pub life_ms: u64,
}

/// A host that goes on from an old copy of its disk.
#[derive(Clone, Copy, Debug)]
pub struct Restoring {
    /// Which.
    pub host: usize,
    /// When the copy is made, in milliseconds.
    pub copied_ms: u64,
    /// When the host loses its disk and starts from the copy.
    pub at_ms: u64,
}

/// A host that runs twice from one state.
#[derive(Clone, Copy, Debug)]
pub struct Cloning {
    /// Which.
    pub host: usize,
    /// When the second begins, in milliseconds.
    pub at_ms: u64,
    /// When it is found and switched off.
    pub until_ms: u64,
}

impl Agenda {
    /// Whether anything is on it: then people vote, and freshness is looked at.
    pub fn is_on(&self) -> bool {
        let Self {
            person_ms,
            motions,
            suspensions,
            restores,
            clones,
        } = self;
        person_ms.1 > 0
            || !(motions.is_empty()
                && suspensions.is_empty()
                && restores.is_empty()
                && clones.is_empty())
    }

    /// Whether a host is, at any time, not what its signatures say it is: it was
    /// put back or runs twice, and may contradict itself without a lie.
    pub fn is_twofold(&self, host: usize) -> bool {
        self.restores.iter().any(|restore| restore.host == host)
            || self.clones.iter().any(|clone| clone.host == host)
    }

    /// Whether somebody proposes to expel a host.
    pub fn is_to_leave(&self, host: usize) -> bool {
        self.motions
            .iter()
            .any(|motion| motion.expel.contains(&host))
    }

    /// Whether somebody suspends a host.
    pub fn is_to_be_suspended(&self, host: usize) -> bool {
        self.suspensions
            .iter()
            .any(|suspending| suspending.host == host)
    }
}
