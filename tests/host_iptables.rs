//! The live back end of iptables in a real kernel: `host::iptables` works, in network namespaces of its own (see `lab`),
//! on both back ends. Needs what `tests/kernel.rs` needs.

// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generate;
#[allow(dead_code, reason = "this test needs a part of the lab")]
mod lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lab::backend::{Backend, foreign, plant_foreign};
use lab::netns::{Namespace, isolated, run};
use lab::rules::golden;
use ringfence::cluster::{self, Site};
use ringfence::compile::{self, SetsMode};
use ringfence::host::iptables::{self, Change, Error, Live, Snapshot, Tools, Variant};
use ringfence::verify::{Families, Verified, check, verify};

/// Defines one test per back end: `name::legacy` and `name::nft`.
macro_rules! on_each_variant {
    ($($(#[$meta:meta])* fn $name:ident($host:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn body($host: &Host) $body

            fn start(test: &str, variant: Variant) {
                let name = concat!(module_path!(), "::").split_once("::").expect("a path").1.to_owned() + test;
                let label = name.clone();
                isolated(&name, move || {
                    if backend(variant).is_here(&label) && backend(other(variant)).is_here(&label) {
                        body(&Host::new(variant));
                    }
                });
            }

            #[test]
            fn legacy() {
                start("legacy", Variant::Legacy);
            }

            #[test]
            fn nft() {
                start("nft", Variant::Nft);
            }
        }
    )*};
}

#[path = "lab/suite/live_changes.rs"]
mod live_changes;
#[path = "lab/suite/live_failures.rs"]
mod live_failures;
#[path = "lab/suite/live_instants.rs"]
mod live_instants;

fn backend(variant: Variant) -> Backend {
    match variant {
        Variant::Legacy => Backend::IptablesLegacy,
        Variant::Nft => Backend::IptablesNft,
    }
}

fn other(variant: Variant) -> Variant {
    if variant == Variant::Nft { Variant::Legacy } else { Variant::Nft }
}

/// Rules that are to be: a cluster file and how it is compiled.
#[derive(Clone)]
struct Wanted {
    cluster: String,
    folder: std::path::PathBuf,
    node: Option<String>,
    sets: SetsMode,
}

impl Wanted {
    fn new(cluster: impl Into<String>, sets: SetsMode) -> Wanted {
        Wanted { cluster: cluster.into(), folder: "/".into(), node: None, sets }
    }

    /// A golden case, with its arguments.
    fn golden(case: &Path) -> Wanted {
        let args = fs::read_to_string(case.join("args")).unwrap_or_default();
        let args: Vec<&str> = args.split_whitespace().collect();
        // What is in a folder is read from there.
        let cluster = fs::read_to_string(case.join("cluster.toml")).unwrap_or_default();
        let node = args.windows(2).find(|pair| pair[0] == "--node").map(|pair| pair[1].to_owned());
        let sets = if args.contains(&"always") { SetsMode::Always } else { SetsMode::Auto };
        Wanted { cluster, folder: case.to_owned(), node, sets }
    }

    fn site<T>(&self, work: impl FnOnce(&Site<'_>) -> T) -> T {
        let several = self.folder.join("clusters.d");
        let loaded = if several.is_dir() {
            cluster::load(&several).unwrap()
        } else {
            cluster::parse("cluster.toml", self.cluster.clone(), &self.folder)
        };
        let cluster = loaded.cluster.unwrap_or_else(|| panic!("no cluster:\n{}", self.cluster));
        let site = match &self.node {
            Some(node) => Site::of_node(&cluster, cluster.node(node).unwrap()),
            None => Site::of_every_node(&cluster),
        };
        work(&site)
    }

    fn verified(&self) -> Verified {
        self.site(|site| verify(compile::iptables(site, self.sets), site, Families::Both).unwrap())
    }
}

/// The machine under test: this thread's namespace.
struct Host {
    variant: Variant,
    tools: Tools,
}

impl Host {
    fn new(variant: Variant) -> Host {
        Host { variant, tools: Host::tools(variant) }
    }

    fn tools(variant: Variant) -> Tools {
        // Whatever the file is, each namespace has one of its own: tests do not wait for each other.
        Tools::find().unwrap().for_variant(variant).unwrap().with_lock_file("/proc/self/ns/net")
    }

    /// The lab stops whoever would change the namespace that the tests were started in.
    fn away_from_home() {
        run(&["true"], "");
    }

    fn read(&self) -> Live {
        Host::away_from_home();
        iptables::read(&self.tools).unwrap()
    }

    fn try_apply(&self, wanted: &Wanted) -> Result<Change, Error> {
        Host::away_from_home();
        iptables::apply(&self.tools, &self.read(), &wanted.verified())
    }

    /// Applies, and proves what is in force then.
    fn apply(&self, wanted: &Wanted) -> Change {
        let change = self.try_apply(wanted).unwrap_or_else(|error| panic!("{error}\n{}", wanted.cluster));
        assert_eq!(change.leftovers, [""; 0]);
        self.prove(wanted);
        change
    }

    fn prove(&self, wanted: &Wanted) {
        let live = self.read();
        assert_eq!(live.complaints(), [""; 0]);
        assert!(live.snapshot().to_bytes().unwrap().len() > 100);
        let report = wanted.site(|site| check(&live.ruleset, site, Families::Both).unwrap());
        assert!(report.is_as_meant(), "{report:?}\n{:?}\n{}", live.unknown, self.own());
    }

    fn is_proved(&self, wanted: &Wanted) -> bool {
        wanted.site(|site| check(&self.read().ruleset, site, Families::Both).unwrap()).is_as_meant()
    }

    fn restore(&self, snapshot: &Snapshot) -> Change {
        Host::away_from_home();
        // As another process would do it.
        let kept = Snapshot::from_bytes(&snapshot.to_bytes().unwrap()).unwrap();
        iptables::restore(&self.tools, &kept).unwrap()
    }

    fn remove(&self) -> Change {
        Host::away_from_home();
        iptables::remove(&self.tools).unwrap()
    }

    fn own(&self) -> String {
        backend(self.variant).own()
    }

    fn jumps(&self) -> usize {
        backend(self.variant).jumps()
    }

    /// Runs a tool of the back end under test.
    fn tool(&self, family: &str, arguments: &str) {
        let name = format!("{family}-{}", self.variant);
        let words: Vec<&str> = std::iter::once(name.as_str()).chain(arguments.split_whitespace()).collect();
        run(&words, "");
    }

    /// What of ours is saved, in the order of the chains, jumps included.
    fn saved(&self, family: &str) -> String {
        let saved = run(&[&format!("{family}-{}-save", self.variant)], "");
        saved
            .lines()
            .filter(|line| line.contains("RINGFENCE") || line.contains("-A PREROUTING"))
            .map(|line| format!("{line}\n"))
            .collect()
    }
}

/// The lab's cluster with these peers, and these services opened to the world or not.
fn cluster(peers: &[&str], more: &str) -> String {
    let nodes: Vec<String> = peers.iter().map(|peer| format!("\"riak@{peer}\"")).collect();
    format!(
        "[cluster]\nname = \"lab\"\nnodes = [{}]\n[networks]\nprivate = [\"10.20.0.0/24\", \"fd20::/64\"]\n{more}\n\
         [services.distribution]\nports = \"6000-6009\"\n",
        nodes.join(", ")
    )
}
