//! `ringfence compile --all`: the rulesets of every node, on all processors.
//!
//! Most nodes of a cluster have the same rules, and only the header says whose they are. What such nodes share is compiled and proved
//! once, where that is all that is claimed (see [`crate::verify::proves_alike`]); what is written for one of them alone is as for any other node.

use std::collections::HashMap;

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};

use crate::cli::files::Batch;
use crate::cli::progress::Progress;
use crate::cluster::{Cluster, Node, Site};
use crate::net::{Interface, Ports};

/// Files' names and what is in them.
pub(super) type Texts = Vec<(&'static str, String)>;

/// How files come from a site.
pub(super) trait Make: Sync {
    /// What is proved of a site, and all its files are written from.
    type Made: Sync;

    /// Makes and proves it.
    fn make(&self, site: &Site<'_>) -> anyhow::Result<Self::Made>;

    /// The files of the site that it was made for.
    fn texts(&self, made: &Self::Made, site: &Site<'_>) -> anyhow::Result<Texts>;

    /// The files of another site, where the same is proved of that.
    fn texts_for(&self, made: &Self::Made, site: &Site<'_>, other: &Site<'_>) -> Option<Texts>;
}

/// Writes the files of each node into a folder of the node's name.
pub(super) fn write<M: Make>(cluster: &Cluster, batch: &Batch, maker: &M) -> anyhow::Result<()> {
    let progress = Progress::new(cluster.nodes().len(), "nodes");
    let put = |node: &Node, texts: &Texts| {
        batch.put(node.name(), texts)?;
        progress.more(1);
        Ok(())
    };
    let results = groups(cluster).into_par_iter().map(|(first, others)| {
        let site = Site::of_node(cluster, first);
        let made = maker.make(&site)?;
        put(first, &maker.texts(&made, &site)?)?;
        let results = others.par_iter().map(|node| {
            let other = Site::of_node(cluster, node);
            let texts = match maker.texts_for(&made, &site, &other) {
                Some(texts) => texts,
                None => maker.texts(&maker.make(&other)?, &other)?,
            };
            put(node, &texts)
        });
        first_fault(results)
    });
    first_fault(results)
}

/// Of several faults the same one each time.
fn first_fault(results: impl IndexedParallelIterator<Item = anyhow::Result<()>>) -> anyhow::Result<()> {
    results.find_first(anyhow::Result::is_err).unwrap_or(Ok(()))
}

/// Ports and interfaces of a node.
type Own = (Vec<Ports>, Option<Vec<Interface>>);

/// The nodes whose rules may be the same, the first of each and the others, in the order of the file.
fn groups(cluster: &Cluster) -> Vec<(&Node, Vec<&Node>)> {
    let mut places: HashMap<Vec<Own>, usize> = HashMap::new();
    let mut groups: Vec<(&Node, Vec<&Node>)> = Vec::new();
    for node in cluster.nodes() {
        let site = Site::of_node(cluster, node);
        let own = site.own_of_node().into_iter().map(|(ports, interfaces)| {
            (ports.into_iter().cloned().collect::<Vec<_>>(), interfaces.map(<[Interface]>::to_vec))
        });
        let own: Vec<Own> = own.collect();
        match places.get(&own).and_then(|place| groups.get_mut(*place)) {
            Some((_, others)) => others.push(node),
            None => {
                places.insert(own, groups.len());
                groups.push((node, Vec::new()));
            }
        }
    }
    groups
}
