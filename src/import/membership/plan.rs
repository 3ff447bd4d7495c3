//! `cluster plan`: the staged changes, and a table for the time after each transition.
//!
//! No table shows today, and none the very end: the first one stands for the time after the first transition, when joiners
//! are valid, members that are to go are leaving, and those that are removed by force are gone already; a member that
//! leaves is still in the last. So today is the first table with the staged changes taken back, and what is planned is the
//! last table without those that go.

use rustc_hash::{FxHashMap, FxHashSet};

use super::tables::{Table, is_rule, is_title};
use super::{HELP, Member, Membership, Reader, State};

/// A change that was staged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Join,
    /// In the first table it is leaving.
    Go,
    /// In the first table it is gone.
    GoneByForce,
}

pub(super) fn is_header(line: &str) -> bool {
    is_title(line, " Staged Changes ")
}

pub(super) fn is_of_plan(line: &str) -> bool {
    let line = line.trim();
    is_header(line) || line.starts_with("After cluster transition")
}

impl<'a> Reader<'a> {
    pub(super) fn plan(&mut self, lines: &[&'a str], tables: &[Table<'a>]) -> Option<Membership> {
        let Some(header) = lines.iter().position(|line| is_header(line)) else {
            let span = tables.first().map_or(self.whole(), |table| self.span(table.header.trim()));
            self.refuse(
                span,
                "the list of staged changes is missing from the plan",
                "give all that `cluster plan` prints",
            );
            return None;
        };
        let changes = self.staged(lines.get(header + 1..).unwrap_or_default());
        let (Some(first), Some(last)) = (tables.first(), tables.last()) else {
            let span = lines.get(header).map_or(self.whole(), |line| self.span(line.trim()));
            self.refuse(span, "the plan shows no members", HELP);
            return None;
        };
        let goes: FxHashSet<&str> = changes
            .iter()
            .filter(|(_, change)| *change != Change::Join)
            .map(|(member, _)| member.name.as_str())
            .collect();
        let planned = last.members.iter().filter(|member| !goes.contains(member.name.as_str())).cloned().collect();
        let today = today(&first.members, &changes);
        Some(Membership { today, planned: Some(planned), ..Membership::default() })
    }

    /// The rows between the two rules behind the header.
    fn staged(&mut self, lines: &[&'a str]) -> Vec<(Member, Change)> {
        let mut changes = Vec::new();
        let mut rules = 0;
        for line in lines.iter().map(|line| line.trim()) {
            if is_rule(line) {
                rules += 1;
            } else if rules == 1 && !line.is_empty() {
                self.change(line, &mut changes);
            }
            if rules == 2 {
                return changes;
            }
        }
        self.refuse(self.whole(), "the list of staged changes has no end", "give all that `cluster plan` prints");
        changes
    }

    fn change(&mut self, line: &'a str, changes: &mut Vec<(Member, Change)>) {
        let words: Vec<&'a str> = line.split_whitespace().collect();
        let (written, change) = match words.as_slice() {
            ["join", node] => (node, Change::Join),
            ["leave", node] => (node, Change::Go),
            ["force-remove", node] => (node, Change::GoneByForce),
            // The new node has a `join` of its own.
            ["replace", node, "with", _] => (node, Change::Go),
            ["force-replace", node, "with", _] => (node, Change::GoneByForce),
            ["resize-ring", ..] | ["set-location", ..] | ["location", ..] => return,
            _ => {
                self.refuse(self.span(line), format!("`{line}` is no change that is known"), HELP);
                return;
            }
        };
        if let Some(member) = self.member(written, State::Unstated) {
            changes.push((member, change));
        }
    }
}

/// The first table with the changes taken back.
fn today(first: &[Member], changes: &[(Member, Change)]) -> Vec<Member> {
    let mut staged: FxHashMap<&str, State> = FxHashMap::default();
    for (member, change) in changes {
        // What joins shows as joining as soon as that is staged; of the others only the plan's own state is shown.
        let state = if *change == Change::Join { State::Joining } else { State::Unstated };
        staged.insert(&member.name, state);
    }
    let mut today: Vec<Member> = first
        .iter()
        .map(|member| Member { state: staged.remove(member.name.as_str()).unwrap_or(member.state), ..member.clone() })
        .collect();
    for (member, _) in changes {
        if let Some(state) = staged.remove(member.name.as_str()) {
            today.push(Member { state, ..member.clone() });
        }
    }
    today
}
