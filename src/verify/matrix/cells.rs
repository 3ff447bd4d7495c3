//! How the sources of each row fare at each service.

use std::collections::HashSet;

use super::super::judge::{Arrivals, Case, Judge};
use super::super::{Claim, Families, Witness};
use super::labels::{Labels, any, meet};
use super::rows::{Labelled, Sources};
use super::{Cell, Fare, Held, On, Row, Whose};
use crate::cluster::{Site, SiteService};
use crate::semantics::{Bounded, Field, Packet, Set, Shape, Space, TooLarge};

/// So many cells that are not proved have a packet that shows why. Nobody reads more.
const MOST_SHOWN: usize = 256;

/// Packets of all services, by what is wanted of them and how they fare.
struct Told {
    /// Packets of connections as they come in, whose port can be seen.
    plain: Set,
    /// To be blocked.
    refused: Set,
    /// To be admitted.
    welcome: Set,
    ends: Ends<Set>,
}

/// What becomes of packets by all doors.
struct Ends<T> {
    /// They certainly get in.
    inside: T,
    /// They certainly do not.
    outside: T,
    /// It cannot be said.
    unsure: T,
    /// The first and the last of odd packets that are to be blocked and may pass a door. That others are blocked is nothing.
    odd_inside: T,
    odd_unsure: T,
}

/// The packets of a service on some interfaces.
struct Concerned {
    /// Those of [`Told::plain`].
    plain: Set,
    /// All others: to either port of a translated connection, and those that show none.
    odd: Set,
}

/// Classes of sources of which there are packets.
struct Column {
    concerned: Concerned,
    /// Packets that certainly get in, of any service.
    inside: Set,
    refused: Labels,
    welcome: Labels,
    ends: Ends<Labels>,
    /// Of which some pass a door that are not to, for certain and perhaps.
    leaks: [Labels; 2],
    /// The same of packets that are odd.
    odd_leaks: [Labels; 2],
    /// Of which some do not get in that are to.
    cuts: [Labels; 2],
}

/// Every row, and what was too large to be judged.
pub(super) fn rows(
    space: &mut Space<'_>,
    judge: &mut Judge<'_, '_, '_>,
    (site, sources, families): (&Site<'_>, &Sources, Families),
) -> Bounded<(Vec<Row>, Option<String>)> {
    let told = Told::of(space, judge)?;
    let services: Vec<&SiteService<'_>> = site.services().iter().filter(|own| own.service.is_guarded()).collect();
    let mut known: Vec<(On, Vec<Column>)> = Vec::new();
    let (mut rows, mut places) = (Vec::new(), Vec::new());
    let labelled = sources.labelled(space)?;
    for own in &labelled {
        let is_asked = match families {
            Families::Both => true,
            Families::Ipv4 => own.ipv4,
            Families::Ipv6 => !own.ipv4,
        };
        for on in own.on.iter().filter(|_| is_asked) {
            let at = match known.iter().position(|(known, _)| known == on) {
                Some(at) => at,
                None => {
                    let columns = services.iter().map(|service| column(space, &judge.cases, (&told, service, on)));
                    known.push((on.clone(), columns.collect::<Bounded<Vec<Column>>>()?));
                    known.len() - 1
                }
            };
            let columns = known.get(at).map(|(_, columns)| columns.as_slice()).unwrap_or_default();
            let cells = columns.iter().map(|column| column.cell(&own.labels)).collect();
            let sources = space.source_ranges(&own.labels);
            rows.push(Row { who: own.who.clone(), ipv4: own.ipv4, on: on.clone(), sources, cells });
            places.push((own, at));
        }
    }
    let mut shown = 0;
    for at in in_order(&rows) {
        let (Some(row), Some((own, column))) = (rows.get_mut(at), places.get(at)) else { continue };
        let columns = known.get(*column).map(|(_, columns)| columns.as_slice()).unwrap_or_default();
        let open = row.cells.iter_mut().zip(columns).filter(|(cell, _)| cell.held != Held::Proved);
        for (cell, column) in open.take(MOST_SHOWN - shown) {
            cell.witness = column.witness(space, &judge.cases, (own, cell))?;
            shown += 1;
        }
    }
    Ok((rows, judge.unwieldy(space)))
}

/// Rows in the order in which they get packets that show what is not proved, as long as there are any to be had: strangers first, since
/// there it weighs most, and of those who fare alike the first.
fn in_order(rows: &[Row]) -> Vec<usize> {
    type Alike<'r> = (u8, bool, &'r On, Vec<(Fare, Fare, Held)>);
    let mut seen: HashSet<Alike<'_>> = HashSet::new();
    let mut all: Vec<(bool, u8, usize)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let weight = match row.who {
            Whose::Others => 0,
            Whose::Untrusted(_) => 1,
            Whose::Private(_) => 2,
            Whose::Peers(_) => 3,
            Whose::Client(..) => 4,
        };
        let fares = row.cells.iter().map(|cell| (cell.wanted, cell.found, cell.held)).collect();
        let again = !seen.insert((weight, row.ipv4, &row.on, fares));
        all.push((again, weight, at));
    }
    all.sort_unstable();
    all.into_iter().map(|(.., at)| at).collect()
}

impl Told {
    fn of(space: &mut Space<'_>, judge: &mut Judge<'_, '_, '_>) -> Bounded<Self> {
        let open = space.shape(|shape| !matches!(shape, Shape::FirstHidden | Shape::FirstAnnounced))?;
        let as_is = space.is(Field::Original, 0)?;
        let plain = space.sets.intersection(open, as_is)?;
        let mut asked = |claim: Claim| {
            let sets = judge.cases.iter().filter(|case| case.claim == claim).map(|case| case.asked);
            space.sets.any(sets.collect::<Vec<Set>>())
        };
        let (refused, welcome) = (asked(Claim::Isolation)?, asked(Claim::Reachability)?);
        Ok(Self { plain, refused, welcome, ends: ends(space, judge, plain)? })
    }
}

/// What becomes of packets that something is asked about. Only a cell that is violated says it, so without one nothing is looked for.
fn ends(space: &mut Space<'_>, judge: &mut Judge<'_, '_, '_>, plain: Set) -> Bounded<Ends<Set>> {
    let mut ends = Ends::default();
    let about = |case: &&Case| matches!(case.claim, Claim::Isolation | Claim::Reachability);
    if judge.cases.iter().filter(about).all(|case| case.violated.is_empty()) {
        return Ok(ends);
    }
    let arrivals = judge.arrivals(space)?;
    let as_sent = space.is(Field::Original, 0)?;
    let translated = judge.translated(space)?;
    // Where nothing is translated, no packet came to another port before.
    let sent = space.sets.union(as_sent, translated)?;
    let cases: Vec<&Case> = judge.cases.iter().filter(about).collect();
    for case in &cases {
        let Arrivals { inside, outside } = arrivals.at(space, case)?;
        let asked = space.sets.intersection(case.asked, plain)?;
        let known = space.sets.union(inside, outside)?;
        // What nobody honest sends may be blocked, and nobody is kept out by it.
        let kept_out = if case.claim == Claim::Reachability {
            let same = cases.iter().filter(|other| other.claim == case.claim && other.to == case.to);
            let stopped = space.sets.any(same.map(|other| other.violated).collect::<Vec<Set>>())?;
            space.sets.intersection(outside, stopped)?
        } else {
            outside
        };
        for (end, set) in [(&mut ends.inside, inside), (&mut ends.outside, kept_out)] {
            let own = space.sets.intersection(asked, set)?;
            *end = space.sets.union(*end, own)?;
        }
        let own = space.sets.difference(asked, known)?;
        ends.unsure = space.sets.union(ends.unsure, own)?;
        if case.claim == Claim::Isolation {
            ends.odd(space, (case, plain), (sent, &Arrivals { inside, outside }))?;
        }
    }
    Ok(ends)
}

impl Ends<Set> {
    /// Those of a case whose port cannot be seen, or was another before a translation: where there is none, no packet is one of these.
    fn odd(
        &mut self,
        space: &mut Space<'_>,
        (case, plain): (&Case, Set),
        (sent, ends): (Set, &Arrivals),
    ) -> Bounded<()> {
        let passing = space.sets.union(case.violated, case.doubted)?;
        let passing = space.sets.difference(passing, plain)?;
        let as_sent = space.is(Field::Original, 0)?;
        let own = space.sets.each([passing, as_sent, ends.inside])?;
        self.odd_inside = space.sets.union(self.odd_inside, own)?;
        let known = space.sets.union(ends.inside, ends.outside)?;
        let known = space.sets.intersection(known, as_sent)?;
        let unsure = space.sets.difference(passing, known)?;
        let unsure = space.sets.intersection(unsure, sent)?;
        self.odd_unsure = space.sets.union(self.odd_unsure, unsure)?;
        Ok(())
    }
}

impl Default for Ends<Set> {
    fn default() -> Self {
        let none = Set::EMPTY;
        Self { inside: none, outside: none, unsure: none, odd_inside: none, odd_unsure: none }
    }
}

fn column(
    space: &mut Space<'_>,
    cases: &[Case],
    (told, service, on): (&Told, &SiteService<'_>, &On),
) -> Bounded<Column> {
    let list: Vec<(u16, u16)> = service.ports.ranges().iter().map(|range| (range.first(), range.last())).collect();
    let own = space.port(&list)?.ok_or(TooLarge)?;
    let original = space.original_port(&list)?.ok_or(TooLarge)?;
    let on = match on {
        On::Any => Set::ALL,
        On::These(names) => space.interface(|own| own.is_some_and(|own| names.contains(own)))?,
        On::AllBut(names) => space.interface(|own| !own.is_some_and(|own| names.contains(own)))?,
    };
    let either = space.sets.union(own, original)?;
    let odd = space.sets.difference(either, told.plain)?;
    let concerned =
        Concerned { plain: space.sets.each([own, on, told.plain])?, odd: space.sets.intersection(odd, on)? };
    let of = |claim: Claim, of: fn(&Case) -> Set| -> Vec<Set> {
        cases.iter().filter(|case| case.claim == claim).map(of).collect()
    };
    let mut from = |sets: Vec<Set>, within: Set| -> Bounded<Labels> {
        let all = space.sets.any(sets)?;
        let all = space.sets.each([all, within, space.possible()])?;
        if all.is_empty() {
            return Ok(Labels::new());
        }
        Ok(space.sets.labels(all, Field::Source.number()))
    };
    let Concerned { plain, odd } = concerned;
    let (leaks, cuts) = (Claim::Isolation, Claim::Reachability);
    let violated = |case: &Case| case.violated;
    let doubted = |case: &Case| case.doubted;
    Ok(Column {
        refused: from(vec![told.refused], plain)?,
        welcome: from(vec![told.welcome], plain)?,
        ends: Ends {
            inside: from(vec![told.ends.inside], plain)?,
            outside: from(vec![told.ends.outside], plain)?,
            unsure: from(vec![told.ends.unsure], plain)?,
            odd_inside: from(vec![told.ends.odd_inside], odd)?,
            odd_unsure: from(vec![told.ends.odd_unsure], odd)?,
        },
        leaks: [from(of(leaks, violated), plain)?, from(of(leaks, doubted), plain)?],
        odd_leaks: [from(of(leaks, violated), odd)?, from(of(leaks, doubted), odd)?],
        cuts: [
            any([&from(of(cuts, violated), plain)?, &from(of(cuts, violated), odd)?]),
            any([&from(of(cuts, doubted), plain)?, &from(of(cuts, doubted), odd)?]),
        ],
        concerned: Concerned { plain, odd },
        inside: space.sets.union(told.ends.inside, told.ends.odd_inside)?,
    })
}

impl Column {
    fn cell(&self, sources: &[(u32, u32)]) -> Cell {
        let has = |labels: &Labels| meet(sources, labels);
        let wanted = match (has(&self.welcome), has(&self.refused)) {
            (true, false) => Fare::Admitted,
            (false, true) => Fare::Blocked,
            (true, true) => Fare::Mixed,
            // Every packet to a port that is guarded is one or the other.
            (false, false) => Fare::Undecided,
        };
        // Whoever is admitted gains nothing by a fragment or another port.
        let counts = wanted != Fare::Admitted;
        let [leaks, perhaps_leaks] = &self.leaks;
        let [odd_leaks, perhaps_odd] = &self.odd_leaks;
        let [cuts, perhaps_cuts] = &self.cuts;
        let let_in = has(leaks) || (counts && has(odd_leaks));
        let cut = has(cuts);
        let doubted = has(perhaps_leaks) || (counts && has(perhaps_odd)) || has(perhaps_cuts);
        let held = match (let_in || cut, doubted || wanted == Fare::Undecided) {
            (true, _) => Held::Violated,
            (false, true) => Held::Undecided,
            (false, false) => Held::Proved,
        };
        let found = match (held, wanted) {
            (Held::Proved, wanted) => wanted,
            (Held::Undecided | Held::OnPurpose, _) => Fare::Undecided,
            (Held::Violated, wanted) => self.violated(sources, wanted),
        };
        Cell { wanted, found, held, witness: None }
    }

    /// What becomes of packets of which some fare otherwise than wanted.
    fn violated(&self, sources: &[(u32, u32)], wanted: Fare) -> Fare {
        let has = |labels: &Labels| meet(sources, labels);
        let (ends, counts) = (&self.ends, wanted != Fare::Admitted);
        let inside = has(&ends.inside) || (counts && has(&ends.odd_inside));
        let unsure = has(&ends.unsure) || (counts && has(&ends.odd_unsure));
        match (inside, has(&ends.outside), unsure) {
            (true, true, _) => Fare::Mixed,
            (true, false, false) => Fare::Admitted,
            (true, false, true) => Fare::SomeAdmitted,
            (false, true, true) => Fare::SomeBlocked,
            // It is violated all the same: at a door where they have to be blocked they are not.
            (false, true, false) if wanted == Fare::Blocked => Fare::Elsewhere,
            (false, true, false) => Fare::Blocked,
            (false, false, _) => Fare::Undecided,
        }
    }

    /// A packet that shows why a cell is not proved: one that gets in by all doors, where the cell says that some do.
    fn witness(
        &self,
        space: &mut Space<'_>,
        cases: &[Case],
        (row, cell): (&Labelled, &Cell),
    ) -> Bounded<Option<Witness>> {
        let from = space.sets.among(Field::Source.number(), &row.labels)?;
        for within in [self.inside, Set::ALL] {
            for concerned in [self.concerned.plain, self.concerned.odd] {
                for case in cases.iter().filter(|case| matches!(case.claim, Claim::Isolation | Claim::Reachability)) {
                    let set = if cell.held == Held::Undecided { case.doubted } else { case.violated };
                    let set = space.sets.each([set, concerned, from, within])?;
                    if let Some(packet) = space.witness(set)? {
                        let packet = Packet { destination: case.to.or(packet.destination), ..packet };
                        return Ok(Some(Witness { packet, door: case.door, wanted: case.wanted }));
                    }
                }
            }
        }
        Ok(None)
    }
}
