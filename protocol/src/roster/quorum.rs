//! How many members it takes, for each question a federation asks its members.
//!
//! All of it follows from one number, N, the members of a roster: f of them may
//! lie or fail together, and every threshold is chosen so that those f alone
//! can neither decide anything nor keep a decision from being noticed.

/// The thresholds of a roster of so many members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    members: usize,
}

impl Thresholds {
    /// Of a roster of `members`.
    pub const fn of(members: usize) -> Self {
        Self { members }
    }

    /// N: the members.
    pub const fn members(self) -> usize {
        self.members
    }

    /// f = ⌊(N − 1) / 3⌋: how many members may lie or fail together.
    pub const fn faults(self) -> usize {
        self.members.saturating_sub(1) / 3
    }

    /// q = ⌈(N + f + 1) / 2⌉: how many votes decide. Any two sets of q share
    /// more than f members, so two decisions need somebody honest to vote twice.
    pub const fn votes(self) -> usize {
        (self.members + self.faults() + 1).div_ceil(2)
    }

    /// r = N − q + f + 1: how many members must have been heard of lately. Any
    /// set of r meets every set of q in an honest member, so once q members
    /// have gone on, nobody can believe for long that they have not.
    pub const fn heard(self) -> usize {
        self.members + self.faults() + 1 - self.votes()
    }

    /// f + 1: how many suspend a member. One of them is honest.
    pub const fn suspenders(self) -> usize {
        self.faults() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_quorums_share_more_members_than_may_lie() {
        for members in 1..=crate::limits::MEMBERS_MAX {
            let of = Thresholds::of(members);
            assert!(2 * of.votes() - members > of.faults(), "{members}");
            assert!(of.votes() <= members, "{members}: nobody could decide");
        }
    }

    #[test]
    fn a_quorum_is_there_when_as_many_fail_as_may() {
        for members in 1..=crate::limits::MEMBERS_MAX {
            let of = Thresholds::of(members);
            assert!(members - of.faults() >= of.votes(), "{members}");
        }
    }

    #[test]
    fn whoever_heard_of_enough_heard_of_an_honest_voter_of_every_decision() {
        for members in 1..=crate::limits::MEMBERS_MAX {
            let of = Thresholds::of(members);
            assert!(of.heard() + of.votes() - members > of.faults(), "{members}");
            assert!(of.heard() <= members, "{members}: nobody could be fresh");
        }
    }

    #[test]
    fn the_numbers_of_the_design() {
        let numbers = |members| {
            let of = Thresholds::of(members);
            (of.faults(), of.votes(), of.heard())
        };
        assert_eq!(numbers(2), (0, 2, 1));
        assert_eq!(numbers(4), (1, 3, 3));
        assert_eq!(numbers(5), (1, 4, 3));
        assert_eq!(numbers(7), (2, 5, 5));
        assert_eq!(numbers(60), (19, 40, 40));
    }
}
