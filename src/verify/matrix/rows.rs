//! Whose sources there are, as lists that a space is cut by.

use super::super::{Admitted, Claims};
use super::labels::{Labels, any, without};
use super::{On, Whose};
use crate::cluster::{Cluster, Site, Source};
use crate::ir::Elements;
use crate::net::Cidr;
use crate::semantics::{Bounded, Space, TooLarge};

/// A list of sources of one family.
struct Listed {
    who: Whose,
    on: Vec<On>,
    list: Elements,
}

/// All that the file names.
pub(super) struct Sources {
    admitted: Vec<Listed>,
    private: Vec<Listed>,
    untrusted: Vec<Listed>,
}

/// Some sources by their labels.
pub(super) struct Labelled {
    pub(super) who: Whose,
    pub(super) on: Vec<On>,
    pub(super) ipv4: bool,
    pub(super) labels: Labels,
}

impl Sources {
    pub(super) fn of(claims: &Claims<'_>, site: &Site<'_>) -> Self {
        let mut admitted = Vec::new();
        let mut clients = vec![0; site.parts().len()];
        for one in claims.admitted() {
            let who = if one.is_peers {
                Whose::Peers(one.part)
            } else {
                let next = clients.get_mut(one.part);
                Whose::Client(one.part, next.map_or(0, |next| std::mem::replace(next, *next + 1)))
            };
            let lists = one.families().iter();
            admitted.extend(lists.map(|list| Listed { who: who.clone(), on: scopes(one), list: list.clone() }));
        }
        Self {
            admitted,
            private: networks(site, Cluster::private, Whose::Private),
            untrusted: networks(site, Cluster::untrusted, Whose::Untrusted),
        }
    }

    /// What the space has to be cut by.
    pub(super) fn lists(&self) -> impl Iterator<Item = &Elements> {
        self.private.iter().chain(&self.untrusted).map(|own| &own.list)
    }

    /// All of them with everybody else; those who are in a private network are there without whom the file names otherwise.
    pub(super) fn labelled(&self, space: &Space<'_>) -> Bounded<Vec<Labelled>> {
        let labelled = |listed: &Listed| {
            let labels = space.source_labels(&listed.list).ok_or(TooLarge)?;
            let ipv4 = matches!(listed.list, Elements::Ipv4(_));
            Ok(Labelled { who: listed.who.clone(), on: listed.on.clone(), ipv4, labels })
        };
        let all = |list: &[Listed]| list.iter().map(labelled).collect::<Bounded<Vec<Labelled>>>();
        let (mut rows, mut private, mut untrusted) = (all(&self.admitted)?, all(&self.private)?, all(&self.untrusted)?);
        let named = any(rows.iter().chain(&untrusted).map(|row| &row.labels));
        let known = any([&named, &any(private.iter().map(|row| &row.labels))]);
        for row in &mut private {
            row.labels = without(&row.labels, &named);
        }
        each_once(&mut private);
        each_once(&mut untrusted);
        rows.append(&mut private);
        rows.extend(untrusted);
        for ipv4 in [true, false] {
            let labels = without(&[space.family_labels(ipv4)], &known);
            rows.push(Labelled { who: Whose::Others, on: vec![On::Any], ipv4, labels });
        }
        rows.retain(|row| !row.labels.is_empty());
        Ok(rows)
    }
}

/// Takes narrower networks out of the wider that have them, so that whoever is in both is in one row.
fn each_once(rows: &mut [Labelled]) {
    let length = |row: &Labelled| match row.who {
        Whose::Private(network) | Whose::Untrusted(network) => network.prefix_length(),
        Whose::Peers(_) | Whose::Client(..) | Whose::Others => 0,
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(rows.get(*at).map_or(0, length)));
    let mut taken = [Labels::new(), Labels::new()];
    for at in order {
        let Some(row) = rows.get_mut(at) else { continue };
        let Some(taken) = taken.get_mut(usize::from(row.ipv4)) else { continue };
        row.labels = without(&row.labels, taken);
        *taken = any([&*taken, &row.labels]);
    }
}

fn scopes(admitted: &Admitted<'_>) -> Vec<On> {
    match &admitted.interfaces {
        None => vec![On::Any],
        Some(names) => vec![On::These(names.clone()), On::AllBut(names.clone())],
    }
}

/// The networks of all clusters, each once.
fn networks(site: &Site<'_>, of: fn(&Cluster) -> &[Source], who: fn(Cidr) -> Whose) -> Vec<Listed> {
    let mut all: Vec<Cidr> = Vec::new();
    for source in site.parts().iter().flat_map(|part| of(part.cluster())) {
        if !all.contains(&source.network) {
            all.push(source.network);
        }
    }
    let listed =
        |network: Cidr| Listed { who: who(network), on: vec![On::Any], list: Elements::of_networks(&[network]) };
    all.into_iter().map(listed).collect()
}
