//! The rules under test: a golden case's, or what the compiler makes of a cluster file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ringfence::cluster::Site;
use ringfence::compile::{self, SetsMode};
use ringfence::dialect;
use ringfence::ir::Family;
use ringfence::net::Elsewhere;

/// The cluster of every test that is not a golden case. The host of the lab is none of its nodes, so that all of them can
/// be sources.
pub const CLUSTER: &str = r#"
[cluster]
name = "lab"
profile = "riak"
nodes = ["riak@10.20.0.11", "riak@10.20.0.12", "riak@10.20.0.13", "riak@fd20::13"]

[networks]
private = ["10.20.0.0/24", "fd20::/64"]
untrusted = ["10.20.0.128/25"]

[services.distribution]
ports = "6000-6009"

[[client]]
name = "web"
from = ["10.20.1.0/24"]
services = ["http"]
"#;

pub const PEER4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 0, 12));
pub const PEER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd20, 0, 0, 0, 0, 0, 0, 0x13));
/// A protected port of that cluster, and one that is nobody's business.
pub const GUARDED: u16 = 8098;
pub const FREE: u16 = 80;

const DIALECTS: [&str; 5] = ["nft", "iptables", "ip6tables", "ipset", "sysctl"];

/// One ruleset in every dialect that it was compiled to.
pub struct Rules {
    directory: String,
    files: BTreeMap<&'static str, String>,
}

impl Rules {
    /// Reads `out/` of a golden case.
    pub fn read(directory: &Path) -> Rules {
        let mut files = BTreeMap::new();
        for dialect in DIALECTS {
            let path = directory.join(format!("ringfence.{dialect}"));
            if path.exists() {
                files.insert(dialect, std::fs::read_to_string(path).expect("a file of text"));
            }
        }
        Rules { directory: directory.display().to_string(), files }
    }

    pub fn has(&self, dialect: &str) -> bool {
        self.files.contains_key(dialect)
    }

    pub fn text(&self, dialect: &str) -> &str {
        self.files.get(dialect).unwrap_or_else(|| panic!("{}: no ringfence.{dialect}", self.directory))
    }

    /// Compiles [`CLUSTER`].
    pub fn usual() -> Rules {
        Rules::compile(CLUSTER)
    }

    pub fn compile(cluster: &str) -> Rules {
        Rules::compile_to(&DIALECTS, cluster)
    }

    pub fn compile_to(dialects: &[&str], cluster: &str) -> Rules {
        let out = tempfile::tempdir().expect("a directory");
        let file = out.path().join("cluster.toml");
        std::fs::write(&file, cluster).expect("writing the cluster file");
        let (file, out_path) = (file.display().to_string(), out.path().display().to_string());
        let ringfence = env!("CARGO_BIN_EXE_ringfence");
        let command = [ringfence, "compile", &file, "--format", &dialects.join(","), "-o", &out_path];
        super::netns::attempt_anywhere(&command, "").unwrap_or_else(|error| panic!("{error}"));
        Rules::read(out.path())
    }
}

impl Rules {
    /// What apply makes of a cluster file on a host that answers for these destinations, too.
    pub fn answering_for(cluster: &str, elsewhere: Elsewhere) -> Rules {
        let mut rules = Rules::compile(cluster);
        let loaded = ringfence::cluster::parse("cluster.toml", cluster.to_owned(), Path::new("."));
        let cluster = loaded.cluster.expect("a cluster");
        let site = Site::of_every_node(&cluster).answering_for(elsewhere);
        let nft = dialect::nft::write(&compile::nft(&site)).expect("a text");
        let iptables = compile::iptables(&site, SetsMode::Auto);
        let family = |family| dialect::iptables::write(&iptables, family).expect("a text");
        rules.files.extend([("nft", nft), ("iptables", family(Family::Ip)), ("ip6tables", family(Family::Ip6))]);
        rules
    }
}

/// The directories of all golden cases that compile, in the order of their names.
pub fn golden() -> Vec<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let entries = std::fs::read_dir(&cases).unwrap_or_else(|error| panic!("{}: {error}", cases.display()));
    let mut golden: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.join("out").is_dir())
        .collect();
    golden.sort();
    assert!(!golden.is_empty(), "no golden case in {}", cases.display());
    golden
}
