//! How each command ends, for its page: the codes that it has, in its own words. What they mean everywhere is
//! [`TABLE`](crate::outcome::TABLE).

use crate::outcome::Outcome::{self, Absent, FellBack, Held, No, Success, Unconfirmed, Undecided, Unusable};

/// Codes of one command.
pub type Ends = &'static [(Outcome, &'static str)];

const INPUT: &str = "the cluster file or the command line has errors, or a file cannot be read or written";
const HOST: &str = "the cluster file or the command line has errors, or the machine does not do what it takes";
const ASKED: &str = "undecided: part of the rules is not understood, or there is too much of them";
const OWN: &str =
    "the rules that ringfence made could not be proved, which is a mistake of ringfence; nothing was written";
const HELD: &str = "another run holds the lock, and was waited for (--wait)";
const LOST: &str = "undecided: the kernel did not say what became of the change";

/// By the name of the page.
const ENDS: [(&str, Ends); 24] = [
    (
        "ringfence-compile",
        &[(Success, "the rules are proved and written"), (No, OWN), (Unusable, INPUT), (Undecided, ASKED)],
    ),
    (
        "ringfence-check",
        &[
            (Success, "the cluster file can be used, and its rules are proved"),
            (No, OWN),
            (Unusable, INPUT),
            (Undecided, ASKED),
        ],
    ),
    (
        "ringfence-verify",
        &[
            (Success, "the rules do what the cluster file says; with --review, the report still fits"),
            (No, "they do not; with --review, the report no longer fits"),
            (Unusable, INPUT),
            (Undecided, ASKED),
        ],
    ),
    (
        "ringfence-diff",
        &[
            (Success, "nothing changes"),
            (No, "something changes, or ringfence apply would refuse it"),
            (Unusable, INPUT),
            (Undecided, ASKED),
        ],
    ),
    (
        "ringfence-explain",
        &[
            (Success, "the packet is delivered"),
            (No, "it is blocked"),
            (Unusable, INPUT),
            (Undecided, "undecided: part of the rules is not understood, or it depends on the interface"),
        ],
    ),
    ("ringfence-report", &JUDGED),
    ("ringfence-matrix", &JUDGED),
    (
        "ringfence-rehearse",
        &[
            (Success, "the rules are proved, and every packet went the way that they say"),
            (No, "a packet went another way, or the rules do not do what the cluster file says"),
            (Unusable, "the cluster file has errors, or no network namespace can be made here"),
            (Undecided, ASKED),
        ],
    ),
    ("ringfence-apply", &APPLIED),
    (
        "ringfence-confirm",
        &[
            (Success, "the change is confirmed"),
            (No, "the rules in the kernel are not those that wait to be confirmed"),
            (Unusable, HOST),
            (Undecided, "undecided: part of the rules in the kernel is not understood"),
            (Absent, "no change waits, or none of its rules is in force"),
            (Held, HELD),
            (Unconfirmed, "the change was taken back, because its time was up"),
            (FellBack, "the ports were closed meanwhile"),
        ],
    ),
    (
        "ringfence-rollback",
        &[
            (Success, "what was in force before is back"),
            (No, "it could not be brought back"),
            (Unusable, HOST),
            (Undecided, LOST),
            (Absent, "no change waits"),
            (Held, HELD),
        ],
    ),
    (
        "ringfence-status",
        &[
            (Success, "the rules of the cluster file are in force, and nothing else is wrong"),
            (No, "the rules differ (drifted, shadowed or staged), or Erlang listens where no rule guards it"),
            (Unusable, "the cluster file has errors, or the machine does not tell what was asked"),
            (Undecided, "undecided: part of the rules in the kernel is not understood"),
            (Absent, "absent: nothing of ringfence is in force"),
            (Held, HELD),
            (
                Unconfirmed,
                "the cluster file was changed and not applied, a change was not confirmed, or nothing keeps the rules",
            ),
            (FellBack, "the ports are closed, because nothing else could be brought into force"),
        ],
    ),
    ("ringfence-remove", &REMOVED),
    ("ringfence-init", &[(Success, "the file is written"), (Unusable, INPUT)]),
    (
        "ringfence-import",
        &[
            (Success, "the cluster file is written; warnings say what to look at"),
            (Unusable, "something is wrong or missing in what was read; nothing was written"),
        ],
    ),
    (
        "ringfence-lint",
        &[
            (Success, "nothing differs"),
            (No, "something differs from what the cluster file says"),
            (Unusable, "something cannot be read, or has errors; what was found besides is shown"),
            (Undecided, ASKED),
        ],
    ),
    ("ringfence-hook-post-install", &APPLIED),
    (
        "ringfence-hook-check",
        &[
            (Success, "what was applied last is in force, perhaps again, or nothing was ever applied"),
            (No, "it is not, or other rules of the host stand in its way"),
            (Unusable, HOST),
            (Undecided, "undecided: part of the rules in the kernel is not understood"),
            (Held, HELD),
            (Unconfirmed, "nobody applied what the start of the machine brought in, or a change was not confirmed"),
            (FellBack, "the ports are closed, because nothing else could be brought into force"),
        ],
    ),
    ("ringfence-hook-before-load", &[(Success, "the sets are there, or none is asked for"), (Unusable, HOST)]),
    ("ringfence-hook-pre-remove", &REMOVED),
    ("ringfence-hook-purge", &REMOVED),
    ("ringfence-watch", &[(Unusable, "it cannot go on; it never ends by itself otherwise")]),
    ("ringfence-profiles", &[(Success, "the profiles are shown"), (Unusable, "there is no profile of that name")]),
    ("ringfence-completions", &[(Success, "the script is printed"), (Unusable, "there is no such shell")]),
];

const JUDGED: [(Outcome, &str); 4] =
    [(Success, "the rules do what the cluster file says"), (No, "they do not"), (Unusable, INPUT), (Undecided, ASKED)];

const APPLIED: [(Outcome, &str); 7] = [
    (Success, "the rules of the cluster file are in force, for good or until their time to be confirmed is up"),
    (No, "refused; or in force, and other rules of the host stand in the way (shadowed), or the guard is staged"),
    (Unusable, HOST),
    (Undecided, "undecided: part of the rules is not understood, or the kernel did not say what became of the change"),
    (Held, HELD),
    (
        Unconfirmed,
        "an earlier change waits to be confirmed, this one was not, or the start of the machine brought in what nobody applied",
    ),
    (FellBack, "what was in force before is back, or the ports are closed"),
];

const REMOVED: [(Outcome, &str); 5] = [
    (Success, "nothing of ringfence is in force"),
    (No, "rules of ringfence are left, and a message says where"),
    (Unusable, HOST),
    (Undecided, "undecided: rules may be left where the kernel does not show them"),
    (Held, HELD),
];

/// Those of the command that a page is about; `None` where it has commands below it.
pub fn of(page: &str) -> Option<Ends> {
    ENDS.into_iter().find(|(own, _)| *own == page).map(|(_, ends)| ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the order of the codes, each once, and what is wrong on the command line ends every command.
    #[test]
    fn each_list_is_one_of_codes() {
        for (name, own) in ENDS {
            let codes: Vec<u8> = own.iter().map(|(outcome, _)| outcome.code()).collect();
            assert!(codes.is_sorted_by(|one, next| one < next), "{name}: {codes:?}");
            assert!(codes.contains(&Unusable.code()), "{name}");
        }
    }
}
