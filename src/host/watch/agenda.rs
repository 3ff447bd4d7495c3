//! When to look. At once where the guard itself changed; where something else did, when it is quiet again, and so seldom that
//! looking takes a small part of the time however much others change.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Matter;

/// A change of others is over when so long nothing more is heard of it …
const QUIET: Duration = Duration::from_millis(250);
/// … or after this time in any case.
const LONGEST: Duration = Duration::from_secs(2);
/// After a look none for so many times as long as it took.
const REST: u32 = 9;
/// So often the guard is looked at without a pause …
const IN_A_ROW: u32 = 20;
/// … and once in so long from then on, until nothing happened to it for as long as it takes to be calm.
const PACE: Duration = Duration::from_millis(500);
const CALM: Duration = Duration::from_secs(10);
/// So long after a look that could not bring about what is to be, others are looked at again, heard of or not.
const MISSED: Duration = Duration::from_secs(60);

/// What was heard and not looked at yet.
#[derive(Debug)]
pub struct Agenda {
    matters: BTreeSet<Matter>,
    first: Instant,
    last: Instant,
    /// The next look at others, and the next one at the guard, come no sooner.
    others: Instant,
    guard: Instant,
    /// Looks at the guard in a row, and when the last one was.
    row: u32,
    looked: Instant,
    /// When what was missed is tried again.
    missed: Option<Instant>,
}

impl Agenda {
    /// With a first look, at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let matters = Matter::ALL.into();
        Self { matters, first: now, last: now, others: now, guard: now, row: 0, looked: now, missed: None }
    }

    /// Notes what was heard.
    pub fn note(&mut self, heard: &BTreeSet<Matter>, now: Instant) {
        if heard.is_empty() {
            return;
        }
        if self.matters.is_empty() {
            self.first = now;
        }
        self.last = now;
        self.matters.extend(heard);
    }

    /// When to look next, if there is a reason.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        if self.matters.is_empty() {
            return self.missed;
        }
        if self.matters.contains(&Matter::Guard) {
            return Some(self.guard);
        }
        Some((self.last + QUIET).min(self.first + LONGEST).max(self.others))
    }

    /// What to look at, which is looked at from now on.
    pub fn take(&mut self) -> BTreeSet<Matter> {
        self.matters.extend(self.missed.take().map(|_| Matter::Rules));
        std::mem::take(&mut self.matters)
    }

    /// A look left undone what another program had to do for it. Nobody need hear of it when that can do it again.
    pub fn missed(&mut self, now: Instant) {
        self.missed = Some(now + MISSED);
    }

    /// A look has ended.
    pub fn looked(&mut self, at: &BTreeSet<Matter>, began: Instant, ended: Instant) {
        self.others = ended + ended.duration_since(began) * REST;
        if !at.contains(&Matter::Guard) {
            return;
        }
        if began.duration_since(self.looked) > CALM {
            self.row = 0;
        }
        self.row = self.row.saturating_add(1);
        self.looked = ended;
        self.guard = if self.row > IN_A_ROW { ended + PACE } else { ended };
    }

    /// A look that failed is tried again at a later time.
    pub fn again(&mut self, at: &BTreeSet<Matter>, later: Instant) {
        self.matters.extend(at);
        (self.others, self.guard) = (later, later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// One that has had its first look.
    fn begun() -> (Agenda, Instant) {
        let now = Instant::now();
        let mut agenda = Agenda::new(now);
        assert_eq!(agenda.due(), Some(now));
        let at = agenda.take();
        agenda.looked(&at, now, now);
        assert_eq!(agenda.due(), None);
        (agenda, now)
    }

    #[test]
    fn what_was_missed_is_tried_again_whatever_is_heard() {
        let (mut agenda, now) = begun();
        agenda.missed(now);
        assert_eq!(agenda.due(), Some(now + MISSED));
        // Nothing waits for that.
        agenda.note(&[Matter::Guard].into(), now + MILLI);
        assert!(agenda.due().unwrap() <= now + MILLI);
        assert_eq!(agenda.take(), [Matter::Guard, Matter::Rules].into());
        assert_eq!(agenda.due(), None);
    }

    #[test]
    fn the_guard_is_looked_at_at_once() {
        let (mut agenda, now) = begun();
        agenda.note(&[Matter::Rules].into(), now);
        assert_eq!(agenda.due(), Some(now + QUIET));
        agenda.note(&[Matter::Guard].into(), now + MILLI);
        assert!(agenda.due().unwrap() <= now + MILLI);
    }

    #[test]
    fn others_are_looked_at_when_it_is_quiet_and_after_some_time_in_any_case() {
        let (mut agenda, now) = begun();
        for at in 0..100 {
            agenda.note(&[Matter::Rules].into(), now + at * 100 * MILLI);
        }
        assert_eq!(agenda.due(), Some(now + LONGEST));
    }

    #[test]
    fn looks_at_others_take_a_tenth_of_the_time() {
        let (mut agenda, now) = begun();
        let look = Duration::from_secs(1);
        agenda.looked(&[Matter::Rules].into(), now, now + look);
        agenda.note(&[Matter::Rules].into(), now + look);
        assert_eq!(agenda.due(), Some(now + 10 * look));
        // The guard does not wait for that.
        agenda.note(&[Matter::Guard].into(), now + look);
        assert!(agenda.due().unwrap() <= now + look);
    }

    #[test]
    fn whoever_takes_the_guard_away_all_the_time_is_answered_at_a_pace() {
        let (mut agenda, mut now) = begun();
        let guard = [Matter::Guard].into();
        for _ in 0..IN_A_ROW {
            agenda.note(&guard, now);
            assert!(agenda.due().unwrap() <= now);
            agenda.take();
            agenda.looked(&guard, now, now);
            now += MILLI;
        }
        agenda.note(&guard, now);
        assert!(agenda.due().unwrap() >= now + PACE - 2 * MILLI);
        agenda.take();
        // And at once again when it has been calm.
        now += 2 * CALM;
        agenda.looked(&guard, now, now);
        assert_eq!(agenda.guard, now);
    }

    #[test]
    fn what_failed_comes_again_and_not_before() {
        let (mut agenda, now) = begun();
        agenda.again(&[Matter::Guard].into(), now + CALM);
        agenda.note(&[Matter::Guard].into(), now);
        assert_eq!(agenda.due(), Some(now + CALM));
    }
}
