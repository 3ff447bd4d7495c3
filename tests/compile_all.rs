//! `compile --all`: every node's files are those that it gets alone, and all of them are there or none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// All, of which each node's are made by themselves; and those that nodes share but for the header.
const FORMATS: [&str; 2] = [
    "nft,iptables,ip6tables,ipset,sysctl,json,open-nft,open-iptables,open-ip6tables,open-ipset,firewalld,ufw",
    "nft,iptables,ip6tables,ipset,sysctl",
];

/// Nodes alike, and nodes with ports, interfaces and addresses of their own.
fn cluster() -> String {
    let mut text = String::from(
        "[cluster]\nname = \"c\"\n[networks]\nprivate = [\"10.20.0.0/16\", \"fd20::/64\"]\n[services.distribution]\nports = \"6000-6099\"\n\
         [[client]]\nname = \"app\"\nfrom = [\"10.20.9.0/24\"]\nservices = [\"http\"]\n",
    );
    for at in 1..=24 {
        let more = match at {
            3 => "services.http.ports = 18098\n",
            4 => "interfaces = [\"eth1\"]\n",
            5 => "interfaces = [\"eth1\"]\nservices.http.ports = 18098\n",
            _ => "",
        };
        let addresses =
            if at % 5 == 0 { format!("[\"10.20.0.{at}\", \"fd20::{at}\"]") } else { format!("[\"10.20.0.{at}\"]") };
        text.push_str(&format!("[[node]]\nname = \"riak@n{at}\"\naddresses = {addresses}\n{more}"));
    }
    text
}

fn compile(folder: &Path, formats: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.current_dir(folder).args(["compile", "c.toml", "-f", formats]).args(arguments).output().unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn each_node_gets_what_it_gets_alone() {
    for formats in FORMATS {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c.toml"), cluster()).unwrap();
        let output = compile(folder.path(), formats, &["--all", "-o", "all"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let all = folder.path().join("all");
        assert_eq!(fs::read_dir(&all).unwrap().count(), 24);
        let mut different = Vec::new();
        for at in [1, 2, 3, 4, 5, 24] {
            let name = format!("riak@n{at}");
            assert!(compile(folder.path(), formats, &["--node", &name, "-o", &name]).status.success());
            let own = files(&all.join(&name));
            assert_eq!(own.len(), formats.split(',').count());
            assert!(own == files(&folder.path().join(&name)), "{name}");
            different.push(own["ringfence.nft"].clone());
        }
        different.sort();
        different.dedup();
        assert_eq!(different.len(), 6, "each says for whom it is");
    }
}

#[test]
fn nothing_is_written_where_one_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.toml"), cluster()).unwrap();
    let all = folder.path().join("all");
    fs::create_dir(&all).unwrap();
    fs::write(all.join("riak@n7"), "mine").unwrap();
    fs::create_dir(all.join("riak@n2")).unwrap();
    fs::write(all.join("riak@n2/ringfence.nft"), "old").unwrap();
    let output = compile(folder.path(), FORMATS[0], &["--all", "-o", "all"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("riak@n7 is a file"), "{said}");
    assert_eq!(fs::read_dir(&all).unwrap().count(), 2, "{said}");
    assert_eq!(files(&all.join("riak@n2")), BTreeMap::from([("ringfence.nft".to_owned(), b"old".to_vec())]));
}
