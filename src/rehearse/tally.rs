//! The answers about each packet, put together: cell by cell, and those that do not agree.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::columns::Column;
use super::judge::whole;
use super::plan::{Plan, Row};
use crate::explain::Fate;
use crate::host::Backend;
use crate::ir::Ruleset;
use crate::semantics::Packet;

/// So many cells with answers that do not agree show a packet.
const MOST_WRONG: usize = 100;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The kernel handed it to TCP.
    Through,
    /// The guard dropped it, by its counters.
    Guard,
    /// Other rules dropped it: without any it arrived, and the guard has not counted it.
    Others,
    /// Rules dropped it; it is not told whose.
    Rules,
    /// The kernel drops it without any rules, too.
    Kernel,
}

/// The three answers about a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers {
    pub seen: Seen,
    pub wanted: bool,
    /// Whether it is no matter of the cluster file where rules of others drop it.
    pub free: bool,
    pub computed: Fate,
}

/// How the packets of a row to a service fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// So many were sent.
    pub tried: usize,
    /// So many got through.
    pub through: usize,
    /// So many did the guard drop.
    pub guard: usize,
    /// So many did other rules drop.
    pub others: usize,
    /// So many did rules drop of whom it is not told whose they are.
    pub rules: usize,
    /// So many drops the kernel by itself.
    pub kernel: usize,
    /// So many are to get through by the cluster file.
    pub wanted: usize,
    /// So many get through for certain by the rules as they were read.
    pub computed: usize,
    /// Of so many it cannot be said by these.
    pub undecided: usize,
    /// So many have answers that do not agree.
    pub wrong: usize,
    /// So many are let on where the cluster file wants it for now (`on-block = "log-only"`).
    pub on_purpose: usize,
}

/// A packet with answers that do not agree.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// Its row.
    pub row: usize,
    /// Its column.
    pub column: usize,
    /// The packet.
    pub packet: Packet,
    /// How it was sent.
    pub kind: &'static str,
    /// What became of it.
    pub seen: Seen,
    /// Whether the cluster file wants it to get through.
    pub wanted: bool,
    /// What the rules compute to.
    pub computed: Fate,
}

/// How sources that are shown together fared.
#[derive(Clone, Debug)]
pub struct Fared {
    /// Whose they are.
    pub row: Row,
    /// The addresses that packets came from.
    pub from: BTreeSet<IpAddr>,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// All that a rehearsal has shown.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// Where the rules were.
    pub backend: Backend,
    /// Whether it took a user namespace.
    pub as_user: bool,
    /// The services, and other ports.
    pub columns: Vec<Column>,
    /// How each row fared.
    pub rows: Vec<Fared>,
    /// Of each cell that has some the first packet with answers that do not agree, as long as there are not too many.
    pub wrong: Vec<Wrong>,
    /// How many addresses were sent from.
    pub sources: usize,
    /// How many peers and networks of clients there are, and at how many of them these addresses are.
    pub places: (usize, usize),
    /// Whether nobody is to be kept out for now.
    pub staged: bool,
    /// Whether no IPv6 packet was sent, because the kernel has none.
    pub without_ipv6: bool,
    /// What rules name and no packet has, in words.
    pub not_tried: Vec<String>,
    /// Where this host's own rules were there, too: what all of them mean, and what of the host is not in it.
    pub host: Option<Together>,
}

/// What was in force in the namespace that has this host's other rules, too.
#[derive(Clone, Debug)]
pub struct Together {
    /// All rules, as the kernel held them there.
    pub ruleset: Ruleset,
    /// What of this host is not there, in words.
    pub not_copied: Vec<String>,
}

impl Cell {
    fn add(&mut self, answers: Answers, staged: bool) -> bool {
        let Answers { seen, wanted, free, computed } = answers;
        let slot = match seen {
            Seen::Through => &mut self.through,
            Seen::Guard => &mut self.guard,
            Seen::Others => &mut self.others,
            Seen::Rules => &mut self.rules,
            Seen::Kernel => &mut self.kernel,
        };
        *slot += 1;
        self.tried += 1;
        self.wanted += usize::from(wanted);
        self.computed += usize::from(computed == Fate::Delivered);
        self.undecided += usize::from(computed == Fate::Undecided);
        let through = match seen {
            Seen::Through => Some(true),
            Seen::Guard | Seen::Others | Seen::Rules => Some(false),
            // It says nothing of the rules; the two others have to agree all the same.
            Seen::Kernel => None,
        };
        let computes = match computed {
            Fate::Delivered => Some(true),
            Fate::Blocked => Some(false),
            Fate::Undecided => None,
        };
        let on_purpose = staged && !wanted && through != Some(false) && computes == Some(true);
        self.on_purpose += usize::from(on_purpose);
        let agrees = through.is_none_or(|through| through == wanted) && computes.is_none_or(|own| own == wanted);
        // Somebody else's rules may drop it, as long as they compute to that, too; or lead it to a port where it is dropped, which they
        // cannot compute to.
        let by_others = match computes {
            Some(false) => matches!(seen, Seen::Others | Seen::Kernel),
            Some(true) => false,
            None => through == Some(false),
        };
        let by_others = by_others && free && wanted;
        let wrong = !agrees && !on_purpose && !by_others;
        self.wrong += usize::from(wrong);
        wrong
    }

    /// All of it in one, for what is shown together.
    pub fn sum(cells: impl IntoIterator<Item = Self>) -> Self {
        cells.into_iter().fold(Self::default(), |all, one| Self {
            tried: all.tried + one.tried,
            through: all.through + one.through,
            guard: all.guard + one.guard,
            others: all.others + one.others,
            rules: all.rules + one.rules,
            kernel: all.kernel + one.kernel,
            wanted: all.wanted + one.wanted,
            computed: all.computed + one.computed,
            undecided: all.undecided + one.undecided,
            wrong: all.wrong + one.wrong,
            on_purpose: all.on_purpose + one.on_purpose,
        })
    }
}

impl Rehearsal {
    /// All cells in one.
    #[must_use]
    pub fn sum(&self) -> Cell {
        Cell::sum(self.rows.iter().flat_map(|fared| fared.cells.iter().copied()))
    }
}

pub(super) fn tally(plan: Plan, answers: Vec<Answers>, staged: bool, backend: Backend, as_user: bool) -> Rehearsal {
    let fared = |row| Fared { row, from: BTreeSet::new(), cells: vec![Cell::default(); plan.columns.len()] };
    let mut rows: Vec<Fared> = plan.rows.into_iter().map(fared).collect();
    let mut first = Vec::new();
    for (shot, answers) in plan.shots.iter().zip(answers) {
        let Some(fared) = rows.get_mut(shot.row) else { continue };
        let Some(cell) = fared.cells.get_mut(shot.column) else { continue };
        fared.from.insert(shot.sent.from.ip());
        if !cell.add(answers, staged) {
            continue;
        }
        if cell.wrong == 1 && first.len() < MOST_WRONG {
            let interface = plan.cables.names.get(shot.sent.cable).map_or("", String::as_str);
            first.push(Wrong {
                row: shot.row,
                column: shot.column,
                packet: whole(&shot.sent, interface),
                kind: shot.sent.kind.words(),
                seen: answers.seen,
                wanted: answers.wanted,
                computed: answers.computed,
            });
        }
    }
    first.sort_by_key(|wrong: &Wrong| (wrong.row, wrong.column));
    let without_ipv6 = !rows.iter().any(|fared| fared.row.ipv6);
    Rehearsal {
        backend,
        as_user,
        columns: plan.columns,
        rows,
        wrong: first,
        sources: plan.sources,
        places: plan.places,
        staged,
        without_ipv6,
        not_tried: plan.not_tried,
        host: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seen: Seen, wanted: bool, computed: Fate, staged: bool) -> Cell {
        let mut cell = Cell::default();
        cell.add(Answers { seen, wanted, free: false, computed }, staged);
        cell
    }

    #[test]
    fn three_answers_agree_or_it_is_said() {
        use Fate::{Blocked, Delivered, Undecided};
        let wrong = |seen, wanted, computed| of(seen, wanted, computed, false).wrong == 1;
        assert!(!wrong(Seen::Through, true, Delivered) && !wrong(Seen::Guard, false, Blocked));
        assert!(!wrong(Seen::Others, false, Blocked) && !wrong(Seen::Rules, false, Blocked));
        // Any one of the three that stands alone.
        assert!(wrong(Seen::Through, false, Blocked) && wrong(Seen::Guard, true, Delivered));
        assert!(wrong(Seen::Through, false, Delivered) && wrong(Seen::Guard, true, Blocked));
        assert!(wrong(Seen::Through, true, Blocked) && wrong(Seen::Others, false, Delivered));
        // What cannot be computed excuses nothing that was seen.
        assert!(wrong(Seen::Through, false, Undecided) && wrong(Seen::Rules, true, Undecided));
        let undecided = of(Seen::Through, true, Undecided, false);
        assert_eq!((undecided.wrong, undecided.undecided), (0, 1));
    }

    /// Others may drop what is no matter of the cluster file; the guard may not, and they may not unless the rules say so.
    #[test]
    fn rules_of_others_may_drop_what_is_not_guarded() {
        let free = |seen, computed| {
            let mut cell = Cell::default();
            cell.add(Answers { seen, wanted: true, free: true, computed }, false)
        };
        assert!(
            !free(Seen::Kernel, Fate::Blocked)
                && !free(Seen::Others, Fate::Blocked)
                && !free(Seen::Others, Fate::Undecided)
        );
        assert!(!free(Seen::Guard, Fate::Undecided) && !free(Seen::Through, Fate::Undecided));
        assert!(free(Seen::Others, Fate::Delivered) && free(Seen::Guard, Fate::Blocked));
        assert!(free(Seen::Through, Fate::Blocked) && free(Seen::Rules, Fate::Blocked));
    }

    /// A rule that is missing must not look blocked because the kernel drops such a packet anyway.
    #[test]
    fn what_the_kernel_drops_is_not_blocked() {
        let open = of(Seen::Kernel, false, Fate::Delivered, false);
        assert_eq!((open.wrong, open.kernel, open.guard), (1, 1, 0));
        let closed = of(Seen::Kernel, false, Fate::Blocked, false);
        assert_eq!((closed.wrong, closed.kernel, closed.guard), (0, 1, 0));
    }

    /// Whom nobody is to keep out for now is let on on purpose; whoever is admitted is kept out by mistake all the same.
    #[test]
    fn only_strangers_are_let_on_on_purpose() {
        let stranger = of(Seen::Through, false, Fate::Delivered, true);
        assert_eq!((stranger.wrong, stranger.on_purpose), (0, 1));
        let peer = of(Seen::Guard, true, Fate::Blocked, true);
        assert_eq!((peer.wrong, peer.on_purpose), (1, 0));
        let told_otherwise = of(Seen::Through, false, Fate::Blocked, true);
        assert_eq!((told_otherwise.wrong, told_otherwise.on_purpose), (1, 0));
    }
}
