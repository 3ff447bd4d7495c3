//! Which rule decides in a cell: one packet is led through the rules, as `explain` leads it.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Deciding;
use super::words::{clipped, plain};
use crate::ir::statement::Changes;
use crate::ir::{Chain, Policy, Rule, Ruleset, Table, TcpFlags, Verdict};
use crate::net::Interface;
use crate::semantics::{Door, Outcome, Packet, Rules, Shape, Step, TCP};
use crate::verify::{Cell, Fare, Held, On, Row, Witness};

/// The rules that decide, each once.
pub(super) struct Decides<'a> {
    rules: Rules<'a>,
    /// The address that everybody in the file connects to: one of each family.
    to: Vec<IpAddr>,
    numbers: HashMap<Deciding, usize>,
    pub(super) all: Vec<Deciding>,
}

impl<'a> Decides<'a> {
    /// Of a ruleset, on a host with these addresses.
    pub(super) fn of(ruleset: &'a Ruleset, addresses: &[IpAddr]) -> Self {
        let first = |ipv4: bool| addresses.iter().find(move |address| address.is_ipv4() == ipv4).copied();
        let to = first(true).into_iter().chain(first(false)).collect();
        Self { rules: Rules::new(ruleset), to, numbers: HashMap::new(), all: Vec::new() }
    }

    /// A rule that decides in a cell of a service with this first port: its number, from 1.
    pub(super) fn number(&mut self, row: &Row, cell: &Cell, port: u16) -> Option<usize> {
        let deciding = match (&cell.witness, cell.held) {
            (Some(witness), _) if cell.found == Fare::Elsewhere => self.elsewhere(witness),
            (Some(witness), _) => self.of_witness(witness),
            // Of some it is one rule, of others another.
            (None, Held::Proved) if cell.found != Fare::Mixed => self.of_first(row, cell, port),
            (None, Held::Proved | Held::Violated | Held::OnPurpose | Held::Undecided) => None,
        }?;
        if let Some(known) = self.numbers.get(&deciding) {
            return Some(*known);
        }
        self.all.push(deciding.clone());
        self.numbers.insert(deciding, self.all.len());
        Some(self.all.len())
    }

    /// What decides on the packet that shows why a cell is not proved. Where it passes the door at which it is to be blocked because no
    /// rule is there, it is what lets it in at the next.
    fn of_witness(&self, witness: &Witness) -> Option<Deciding> {
        let packet = &witness.packet;
        let there = self.rules.trace(witness.door, packet);
        deciding(&there).or_else(|| {
            let next = (there.0.may_pass && Door::Input.sees(packet)).then(|| self.rules.trace(Door::Input, packet))?;
            deciding(&next).filter(|_| next.0.may_pass && !next.0.may_block)
        })
    }

    /// What blocks the packet that shows that it is not blocked where it has to be.
    fn elsewhere(&self, witness: &Witness) -> Option<Deciding> {
        let packet = &witness.packet;
        let early = self.rules.trace(Door::Prerouting, packet);
        if !early.0.may_pass {
            return deciding(&early);
        }
        // At input, IPv4 has been put together.
        let shape = if packet.source.is_ipv4() { Shape::Whole } else { packet.shape };
        deciding(&self.rules.trace(Door::Input, &Packet { shape, ..packet.clone() }))
    }

    /// What decides on the first source's request for a connection.
    fn of_first(&self, row: &Row, cell: &Cell, port: u16) -> Option<Deciding> {
        let packet = self.request(row, port)?;
        let before = self.rules.trace(Door::Prerouting, &packet);
        if !before.0.may_pass {
            return deciding(&before).filter(|_| cell.found == Fare::Blocked);
        }
        deciding(&self.rules.trace(Door::Input, &packet))
    }

    fn request(&self, row: &Row, port: u16) -> Option<Packet> {
        let source = row.sources.first().map(|(first, _)| *first)?;
        let interface: Option<Interface> = match &row.on {
            On::Any | On::AllBut(_) => None,
            On::These(names) => names.first().cloned(),
        };
        let destination = self.to.iter().find(|own| own.is_ipv4() == source.is_ipv4()).copied();
        Some(Packet { destination, interface, protocol: TCP, port, flags: TcpFlags::SYN, ..Packet::plain(source) })
    }
}

/// The rule that has the last word on a packet; where it cannot be said what becomes of it, the one because of which.
fn deciding((outcome, steps): &(Outcome, Vec<Step<'_>>)) -> Option<Deciding> {
    let goes_on = |step: &&Step<'_>| match step.rule.map(|rule| rule.verdict.as_ref()) {
        Some(Some(Verdict::Jump(_) | Verdict::Goto(_)) | None) => true,
        Some(Some(Verdict::Accept | Verdict::Drop | Verdict::Reject(_) | Verdict::Return | Verdict::Unknown(_)))
        | None => false,
    };
    // Of all that may or may not apply, first what would decide.
    let open = |step: &&Step<'_>| !step.certain && step.rule.is_some();
    let unsure = || {
        let decides = |step: &&Step<'_>| open(step) && (!goes_on(step) || moves(step));
        steps.iter().find(decides).or_else(|| steps.iter().rev().find(moves)).or_else(|| steps.iter().find(open))
    };
    let accepts_at_end =
        |step: &&Step<'_>| step.rule.is_none() && step.chain.base.is_none_or(|base| base.policy == Policy::Accept);
    let last = || steps.iter().rev().find(|step| !goes_on(step) && (!outcome.may_pass || !accepts_at_end(step)));
    let step = match (outcome.may_pass, outcome.may_block) {
        (true, true) => unsure().or_else(last),
        (true, false) | (false, _) => last(),
    };
    step.or_else(|| steps.last()).map(told)
}

/// Whether a rule leads packets to another place, so that what becomes of them there is the doubt.
fn moves(step: &&Step<'_>) -> bool {
    let statements = step.rule.map(|rule| rule.statements.as_slice()).unwrap_or_default();
    statements.iter().any(|one| one.effect().changes >= Changes::Destination)
}

fn told(step: &Step<'_>) -> Deciding {
    of_rule(step.table, step.chain, step.rule)
}

/// A rule, or else the policy of its chain.
pub(super) fn of_rule(table: &Table, chain: &Chain, rule: Option<&Rule>) -> Deciding {
    let place = rule.and_then(|rule| rule.place.as_ref());
    let text = match (rule, place) {
        (_, Some(place)) => clipped(&place.text),
        (Some(rule), None) => clipped(rule.comment.as_deref().unwrap_or("a rule without a remark")),
        (None, None) if chain.base.is_some_and(|base| base.policy == Policy::Drop) => "policy drop".to_owned(),
        (None, None) => "policy accept".to_owned(),
    };
    Deciding {
        table: plain(&format!("{} {}", table.family.name(), table.name)),
        chain: plain(&chain.name),
        line: place.map(|place| place.line).filter(|line| *line > 0),
        text,
    }
}
