//! A host in a namespace of its own, on which commands print documents.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::netns;

/// Of two nodes and a client; the host is the first node.
pub const CLUSTER: &str = "[cluster]\nname = \"plan\"\nprofile = \"riak\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\"]\n\
[networks]\nprivate = [\"10.20.0.0/24\"]\n[[client]]\nname = \"web\"\nservices = [\"http\"]\nfrom = [\"10.20.1.0/24\"]\n\
[services.distribution]\nports = \"6000-6009\"\n";

pub struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    pub fn new() -> Self {
        netns::ip(
            "link set lo up\nlink add eth1 type veth peer name far\naddr add 10.20.0.11/24 dev eth1\nlink set eth1 up\n\
             link set far up\nroute add 10.20.1.0/24 via 10.20.0.1\n",
        );
        let host = Self { folder: tempfile::tempdir().unwrap() };
        host.write(CLUSTER);
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, text: &str) {
        fs::write(self.path("cluster.toml"), text).unwrap();
    }

    /// The document of a run that ends like this.
    pub fn run(&self, line: &str, code: i32) -> Value {
        netns::assert_away_from_home();
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .current_dir(self.folder.path())
            .args(line.split(' '))
            .arg("--json")
            .env("RINGFENCE_STATE_DIR", self.path("state"))
            .env_remove("SSH_CONNECTION")
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{line}: {out}{err}");
        let found = crate::document::of(&out);
        assert_eq!(found["exit"], code, "{line}");
        found
    }
}
