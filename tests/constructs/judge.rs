//! The computed verdict beside what was seen, and what came of all of it.

use std::collections::BTreeMap;

use ringfence::ir::Ruleset;
use ringfence::semantics::{Outcome, Rules, Shape, merged, rewriting};

use super::bench::{Seen, Spot};

/// A ruleset in one form.
pub struct Form {
    pub name: &'static str,
    /// What was read of it, or why it was not.
    pub ruleset: Result<Ruleset, String>,
    /// What a tool printed, fit to be loaded.
    pub printed: Option<String>,
}

/// What came of one form.
#[derive(Clone, Copy, Default)]
pub struct Count {
    /// Nothing about any packet was left open.
    decided: usize,
    open: usize,
    /// The reader takes no such text.
    refused: usize,
    /// Packets with a certain verdict.
    certain: usize,
    uncertain: usize,
    /// First fragments that were to pass, and that the kernel dropped because they have no whole transport header.
    lost: usize,
}

#[derive(Default)]
pub struct Tally {
    pub loads: usize,
    pub packets: usize,
    pub passed: usize,
    pub forms: BTreeMap<&'static str, Count>,
    pub false_answers: Vec<String>,
    /// Rules of which a tool prints another one than there is: what was printed and loaded does what was computed.
    pub misprinted: BTreeMap<String, String>,
    /// What the machine does not take, and why.
    pub not_possible: BTreeMap<String, String>,
    /// Rules that were tried with packets.
    pub rules: BTreeMap<String, bool>,
    /// What a reader of ours did not take, though the kernel did.
    pub unreadable: BTreeMap<String, String>,
}

/// A packet of which a form says for certain what does not become of it.
pub struct Lie {
    pub form: &'static str,
    pub text: String,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.loads += other.loads;
        self.packets += other.packets;
        self.passed += other.passed;
        for (form, count) in other.forms {
            let own = self.forms.entry(form).or_default();
            own.decided += count.decided;
            own.open += count.open;
            own.refused += count.refused;
            own.certain += count.certain;
            own.uncertain += count.uncertain;
            own.lost += count.lost;
        }
        self.false_answers.extend(other.false_answers);
        self.misprinted.extend(other.misprinted);
        self.not_possible.extend(other.not_possible);
        self.unreadable.extend(other.unreadable);
        for (rule, decided) in other.rules {
            let own = self.rules.entry(rule).or_insert(true);
            *own &= decided;
        }
    }

    /// Counts what was found of one load, and says what is false in it. `strict` is for rules in whose presence the kernel
    /// drops first fragments without a whole transport header, whether they match or not: no sender has to make any, and
    /// what every claim wants blocked is blocked.
    pub fn judge(&mut self, rule: &str, spot: Spot, strict: bool, forms: &[Form], seen: &[Seen]) -> Vec<Lie> {
        self.loads += 1;
        self.packets += seen.len();
        self.passed += seen.iter().filter(|one| one.passed).count();
        let mut lies = Vec::new();
        let mut all_decided = true;
        for Form { name: form, ruleset, .. } in forms {
            let count = self.forms.entry(form).or_default();
            let ruleset = match ruleset {
                Ok(ruleset) => ruleset,
                Err(error) => {
                    count.refused += 1;
                    self.unreadable.insert(format!("{form}: {rule}"), error.clone());
                    continue;
                }
            };
            let mut decided = true;
            for one in seen {
                let outcomes = outcomes(ruleset, spot, one);
                let certain = outcomes.iter().all(|outcome| outcome.may_pass != outcome.may_block);
                // What a further fragment looks like hangs on its data.
                decided &= certain || one.packet.shape == Shape::LaterMisread;
                count.certain += usize::from(certain);
                count.uncertain += usize::from(!certain);
                let right = |outcome: &Outcome| if one.passed { outcome.may_pass } else { outcome.may_block };
                let wrong = !outcomes.iter().all(right);
                if wrong && strict && !one.passed && is_headless(one.packet.shape) {
                    count.lost += 1;
                    continue;
                }
                if wrong {
                    let text = format!("{}: {}\n  seen: {}, computed: {outcomes:?}", one.name, one.packet, fate(one));
                    lies.push(Lie { form, text });
                }
            }
            count.decided += usize::from(decided);
            count.open += usize::from(!decided);
            all_decided &= decided;
        }
        let own = self.rules.entry(rule.to_owned()).or_insert(true);
        *own &= all_decided;
        lies
    }

    pub fn print(&self, what: &str) {
        for (rule, why) in &self.not_possible {
            eprintln!("not possible here: {}: {why}", one_line(rule));
        }
        for (rule, why) in &self.unreadable {
            eprintln!("not read: {rule}: {why}");
        }
        for (rule, printed) in &self.misprinted {
            eprintln!("printed as another rule: {rule}\n  {}", printed.trim().replace('\n', "\n  "));
        }
        if std::env::var_os("RINGFENCE_CONSTRUCTS_OPEN").is_some() {
            self.rules.iter().filter(|(_, decided)| !**decided).for_each(|(rule, _)| eprintln!("open: {rule}"));
        }
        let decided = self.rules.values().filter(|decided| **decided).count();
        eprintln!(
            "{what}: {} rules in {} loads, {decided} of them decided in every form; {} packets, {} of them delivered; {} not \
             possible here; {} printed as another rule; {} false answers",
            self.rules.len(),
            self.loads,
            self.packets,
            self.passed,
            self.not_possible.len(),
            self.misprinted.len(),
            self.false_answers.len()
        );
        for (form, count) in &self.forms {
            let Count { decided, open, refused, certain, uncertain, lost } = count;
            eprintln!(
                "  {form}: {decided} loads decided, {open} open, {refused} not read; {certain} packets certain, {uncertain} not, \
                 {lost} short first fragments dropped beyond that"
            );
        }
    }
}

/// Whether it is a first fragment that ends before its transport header does.
fn is_headless(shape: Shape) -> bool {
    match shape {
        Shape::FirstShort | Shape::FirstAnnounced | Shape::FirstHidden => true,
        Shape::Whole | Shape::Extended | Shape::First | Shape::Later | Shape::LaterMisread => false,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fate(one: &Seen) -> &'static str {
    if one.passed { "passed" } else { "blocked" }
}

/// Every way in which the program asks: rule by rule and with like rules taken together.
fn outcomes(ruleset: &Ruleset, spot: Spot, one: &Seen) -> Vec<Outcome> {
    if !ruleset.unread.is_empty() || rewriting(ruleset).is_some() {
        return vec![Outcome { may_pass: true, may_block: true }];
    }
    let merged = merged(ruleset);
    let (plain, merged) = (Rules::new(ruleset), Rules::new(&merged));
    let ways = [&plain, &merged];
    let doors = spot.doors().iter().filter(|door| door.sees(&one.packet));
    doors.flat_map(|door| ways.map(|rules| rules.evaluate(*door, &one.packet))).collect()
}
