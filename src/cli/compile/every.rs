//! `ringfence compile --all`: the rulesets of every node, on all processors.
//!
//! Each node's are made and proved by themselves, although most nodes of a cluster have the same rules: what is claimed of them, and what
//! other firewalls are to let through, is about the node's own addresses, too.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use crate::cli::files::Batch;
use crate::cluster::{Cluster, Site};

/// Whoever waits longer sees how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// Files' names and what is in them.
pub(super) type Texts = Vec<(&'static str, String)>;

/// Writes what `make` makes of each node into a folder of the node's name.
pub(super) fn write(
    cluster: &Cluster,
    batch: &Batch,
    make: impl Fn(&Site<'_>) -> anyhow::Result<Texts> + Sync,
) -> anyhow::Result<()> {
    let progress = Progress::new(cluster.nodes().len());
    let results = cluster.nodes().par_iter().map(|node| {
        batch.put(node.name(), &make(&Site::of_node(cluster, node))?)?;
        progress.one_more();
        Ok(())
    });
    // Of several faults the same one each time: that of the first node.
    results.find_first(anyhow::Result::is_err).unwrap_or(Ok(()))
}

/// How far it is, for whoever waits at a terminal.
struct Progress {
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    fn new(count: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} nodes, {eta} to go") {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now() }
    }

    fn one_more(&self) {
        self.bar.inc(1);
        if self.bar.is_hidden() && self.started.elapsed() > PATIENCE {
            // On anything but a terminal it stays hidden by itself.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
