//! How a command ends: one meaning for each exit code, in every command.
//!
//! INVARIANT (one table): [`TABLE`] is what `--help`, ringfence(1) and README.md show; tests hold README and the units of
//! packaging/ against it. A code is made of an [`Outcome`] in one place, `cli::run`.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// All is as it is wanted.
    Success,
    /// It is not: differs, refused, violated, drifted, shadowed; blocked.
    No,
    /// Bad input, or a machine on which it cannot be done.
    Unusable,
    /// It cannot be said.
    Undecided,
    /// Nothing is there that was asked about.
    Absent,
    /// Another run holds the lock.
    Held,
    /// What is in force is not what the file says, because nobody applied it or nobody confirmed it.
    Unconfirmed,
    /// Something else was brought in than the file says: what was there before, or closed ports.
    FellBack,
}

/// What the exit codes mean.
pub const TABLE: &str = "\
Exit codes, of every command:
  0  as wanted
  1  it differs, or is refused, violated, drifted, shadowed or staged; for `explain`, blocked
  2  something is wrong with the input or the machine
  3  undecided: something is not understood
  4  absent: nothing of ringfence is in force, or no change waits
  5  another run holds the lock, and was waited for (`--wait`)
  6  not applied; or refused while a change waits, or not confirmed in time
  7  fallen back to what was in force before, or closed";

impl Outcome {
    /// All of them, by their codes.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::No,
        Self::Unusable,
        Self::Undecided,
        Self::Absent,
        Self::Held,
        Self::Unconfirmed,
        Self::FellBack,
    ];

    /// What it means, in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Success => "as-wanted",
            Self::No => "no",
            Self::Unusable => "unusable",
            Self::Undecided => "undecided",
            Self::Absent => "absent",
            Self::Held => "held",
            Self::Unconfirmed => "unconfirmed",
            Self::FellBack => "fallen-back",
        }
    }

    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::No => 1,
            Self::Unusable => 2,
            Self::Undecided => 3,
            Self::Absent => 4,
            Self::Held => 5,
            Self::Unconfirmed => 6,
            Self::FellBack => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_code() {
        let codes: Vec<u8> =
            TABLE.lines().skip(1).map(|line| line.trim().split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(codes, Outcome::ALL.map(Outcome::code));
        assert_eq!(codes, (0..8).collect::<Vec<u8>>());
    }
}
