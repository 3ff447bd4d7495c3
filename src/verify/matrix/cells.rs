//! How the sources of each row fare at each service.

use super::super::judge::{Case, Judge};
use super::super::{Claim, Families, Witness};
use super::labels::{Labels, any, meet};
use super::rows::{Labelled, Sources};
use super::{Cell, Fare, Held, On, Row};
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
    /// Of these, those that may be blocked.
    kept_out: Set,
    /// To be admitted.
    welcome: Set,
    /// Of these, those that may get in.
    through: Set,
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
    refused: Labels,
    kept_out: Labels,
    welcome: Labels,
    through: Labels,
    /// Of which some get in that are not to, for certain and perhaps.
    leaks: [Labels; 2],
    /// The same of packets that are odd.
    odd_leaks: [Labels; 2],
    /// Of which some do not get in that are to.
    cuts: [Labels; 2],
}

/// Every row, and what was too large to be judged.
pub(super) fn rows(
    space: &mut Space<'_>,
    judge: &Judge<'_, '_, '_>,
    (site, sources, families): (&Site<'_>, &Sources, Families),
) -> Bounded<(Vec<Row>, Option<String>)> {
    let told = Told::of(space, &judge.cases)?;
    let services: Vec<&SiteService<'_>> = site.services().iter().filter(|own| own.service.is_guarded()).collect();
    let mut known: Vec<(On, Vec<Column>)> = Vec::new();
    let (mut rows, mut shown) = (Vec::new(), 0);
    for labelled in sources.labelled(space)? {
        let is_asked = match families {
            Families::Both => true,
            Families::Ipv4 => labelled.ipv4,
            Families::Ipv6 => !labelled.ipv4,
        };
        for on in labelled.on.iter().filter(|_| is_asked) {
            if !known.iter().any(|(own, _)| own == on) {
                let columns = services.iter().map(|service| column(space, &judge.cases, (&told, service, on)));
                let columns = columns.collect::<Bounded<Vec<Column>>>()?;
                known.push((on.clone(), columns));
            }
            let columns = known.iter().find(|(own, _)| own == on).map(|(_, columns)| columns.as_slice());
            let mut cells = Vec::new();
            for column in columns.unwrap_or_default() {
                let mut cell = column.cell(&labelled.labels);
                if cell.held != Held::Proved && shown < MOST_SHOWN {
                    cell.witness = column.witness(space, &judge.cases, (&labelled, cell.held))?;
                    shown += 1;
                }
                cells.push(cell);
            }
            let sources = space.source_ranges(&labelled.labels);
            rows.push(Row { who: labelled.who.clone(), ipv4: labelled.ipv4, on: on.clone(), sources, cells });
        }
    }
    Ok((rows, judge.unwieldy(space)))
}

impl Told {
    fn of(space: &mut Space<'_>, cases: &[Case]) -> Bounded<Self> {
        let open = space.shape(|shape| !matches!(shape, Shape::FirstHidden | Shape::FirstAnnounced))?;
        let as_is = space.is(Field::Original, 0)?;
        let plain = space.sets.intersection(open, as_is)?;
        let (mut refused, mut kept_out) = (Set::EMPTY, Set::EMPTY);
        for case in cases.iter().filter(|case| case.claim == Claim::Isolation) {
            // What gets in has to get through each door.
            let own = space.sets.difference(case.asked, case.violated)?;
            kept_out = space.sets.union(kept_out, own)?;
            refused = space.sets.union(refused, case.asked)?;
        }
        let (mut welcome, mut through) = (Set::EMPTY, Set::EMPTY);
        let reaching: Vec<&Case> = cases.iter().filter(|case| case.claim == Claim::Reachability).collect();
        for case in &reaching {
            // What is kept out is so by one of the doors, on the way to the same address.
            let same = reaching.iter().filter(|other| other.to == case.to).map(|other| other.violated);
            let stopped = space.sets.any(same.collect::<Vec<Set>>())?;
            let own = space.sets.difference(case.asked, stopped)?;
            through = space.sets.union(through, own)?;
            welcome = space.sets.union(welcome, case.asked)?;
        }
        Ok(Self { plain, refused, kept_out, welcome, through })
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
        kept_out: from(vec![told.kept_out], plain)?,
        welcome: from(vec![told.welcome], plain)?,
        through: from(vec![told.through], plain)?,
        leaks: [from(of(leaks, violated), plain)?, from(of(leaks, doubted), plain)?],
        odd_leaks: [from(of(leaks, violated), odd)?, from(of(leaks, doubted), odd)?],
        cuts: [
            any([&from(of(cuts, violated), plain)?, &from(of(cuts, violated), odd)?]),
            any([&from(of(cuts, doubted), plain)?, &from(of(cuts, doubted), odd)?]),
        ],
        concerned: Concerned { plain, odd },
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
            (Held::Violated, _) => self.violated(sources, let_in, cut),
        };
        Cell { wanted, found, held, witness: None }
    }

    /// What becomes of packets of which some fare otherwise than wanted.
    fn violated(&self, sources: &[(u32, u32)], let_in: bool, cut: bool) -> Fare {
        let has = |labels: &Labels| meet(sources, labels);
        let some_in = let_in || has(&self.through);
        let some_out = cut || has(&self.kept_out);
        match (some_in, some_out) {
            (true, true) => Fare::Mixed,
            (true, false) => Fare::Admitted,
            (false, true) => Fare::Blocked,
            (false, false) => Fare::Undecided,
        }
    }

    /// A packet that shows why a cell is not proved.
    fn witness(
        &self,
        space: &mut Space<'_>,
        cases: &[Case],
        (row, held): (&Labelled, Held),
    ) -> Bounded<Option<Witness>> {
        let from = space.sets.among(Field::Source.number(), &row.labels)?;
        for concerned in [self.concerned.plain, self.concerned.odd] {
            for case in cases.iter().filter(|case| matches!(case.claim, Claim::Isolation | Claim::Reachability)) {
                let set = if held == Held::Undecided { case.doubted } else { case.violated };
                let set = space.sets.each([set, concerned, from])?;
                if let Some(packet) = space.witness(set)? {
                    let packet = Packet { destination: case.to.or(packet.destination), ..packet };
                    return Ok(Some(Witness { packet, door: case.door, wanted: case.wanted }));
                }
            }
        }
        Ok(None)
    }
}
