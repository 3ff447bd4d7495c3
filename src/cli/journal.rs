//! What is said, for journald: a line with a priority and fields, where stderr is the journal, as in units (systemd.exec(5),
//! `JOURNAL_STREAM`).
//!
//! Beside its own fields each entry has `RINGFENCE_STATE` where it is about a state that is not as wanted, and `RINGFENCE_CODE` where it
//! has the code of a finding or an objection: `journalctl RINGFENCE_STATE=drifted`.

use log::{Level, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use crate::diagnostic::Code;
use crate::host::judge::Standing;

const IDENTIFIER: &str = "ringfence";
const STATE: &str = "RINGFENCE_STATE";
const CODE: &str = "RINGFENCE_CODE";

/// Sends it. Whether it has arrived there: where it has not, it is to be said otherwise.
pub fn send(words: &str) -> bool {
    if !connected_to_journal() {
        return false;
    }
    let entry = Entry::of(words);
    let send = || {
        let mut log = JournalLog::empty()?.with_syslog_identifier(IDENTIFIER.to_owned());
        for (field, value) in [(STATE, entry.state), (CODE, entry.code)] {
            if let Some(value) = value {
                log = log.add_extra_field(field, value);
            }
        }
        log.journal_send(&Record::builder().level(entry.level).target(IDENTIFIER).args(format_args!("{words}")).build())
    };
    send().is_ok()
}

/// Whether what is said goes to a journal, as from units.
pub fn is_read() -> bool {
    connected_to_journal()
}

/// How it is filed.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    level: Level,
    state: Option<&'static str>,
    code: Option<&'static str>,
}

impl Entry {
    /// By how its first line begins.
    fn of(words: &str) -> Self {
        let first = words.lines().next().unwrap_or_default();
        // These are the levels that the journal calls err, warning, notice and info.
        let (level, rest) = [
            ("error: ", Level::Error),
            ("refused: ", Level::Error),
            ("warning: ", Level::Warn),
            ("note: ", Level::Info),
        ]
        .iter()
        .find_map(|(word, level)| Some((*level, first.strip_prefix(word)?)))
        .unwrap_or((Level::Debug, first));
        let state = STATES.iter().find(|(own, _)| is_behind(first, own.words())).map(|(_, name)| *name);
        let level = if state.is_some() && level > Level::Warn { Level::Warn } else { level };
        let code = Code::ALL.iter().map(|code| code.as_str()).find(|code| is_behind(rest, code));
        Self { level, state, code }
    }
}

/// States that are not as wanted.
const STATES: [(Standing, &str); 7] = [
    (Standing::NotApplied, "not-applied"),
    (Standing::Staged, "staged"),
    (Standing::Drifted, "drifted"),
    (Standing::Shadowed, "shadowed"),
    (Standing::Undecided, "undecided"),
    (Standing::Absent, "absent"),
    (Standing::Closed, "closed"),
];

/// Whether a text begins with a word and something that ends it.
fn is_behind(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ';', ',', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_filed_by_how_they_begin() {
        let of = |words| {
            let Entry { level, state, code } = Entry::of(words);
            (level, state, code)
        };
        assert_eq!(of("rules are in force"), (Level::Debug, None, None));
        assert_eq!(of("DRIFTED; what was applied last is brought back"), (Level::Warn, Some("drifted"), None));
        assert_eq!(of("NOT APPLIED, and there is nothing to bring back: x"), (Level::Warn, Some("not-applied"), None));
        assert_eq!(of("refused: foreign-address: 10.0.0.1 is on no"), (Level::Error, None, Some("foreign-address")));
        assert_eq!(of("error: DRIFTED"), (Level::Error, None, None));
        assert_eq!(of("warning: other-source: peers know"), (Level::Warn, None, Some("other-source")));
        assert_eq!(of("warning: unblocks: the file"), (Level::Warn, None, Some("unblocks")));
        assert_eq!(of("note: x"), (Level::Info, None, None));
        assert_eq!(of(""), (Level::Debug, None, None));
        assert_eq!(of("DRIFTEDLY"), (Level::Debug, None, None));
    }

    #[test]
    fn states_have_their_names() {
        for (state, name) in STATES {
            assert_eq!(serde_json::to_value(state).unwrap(), name);
        }
    }
}
