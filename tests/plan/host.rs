//! A host with the program on it: diff, apply and status in one network namespace, and all that they may write.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::document;
use super::edits::{Edit, OF_PORTS};
use super::netns::{assert_away_from_home, attempt, not_possible, run};

pub const CLUSTER: &str = "[cluster]\nname = \"plan\"\nprofile = \"riak\"\nnodes = [\"riak@10.20.0.11\", \"riak@10.20.0.12\", \"riak@10.20.0.13\"]\n\
[networks]\nprivate = [\"10.20.0.0/24\"]\n[[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]\n\
[services.distribution]\nports = \"6000-6009\"\n";

pub struct Host {
    pub folder: tempfile::TempDir,
    pub backend: &'static str,
}

impl Host {
    pub fn new(backend: &'static str) -> Host {
        let host = Host { folder: tempfile::tempdir().unwrap(), backend };
        host.write(CLUSTER);
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, text: &str) {
        fs::write(self.path("cluster.toml"), text).unwrap();
    }

    pub fn ringfence(&self, command: &str, more: &[&str]) -> (i32, String, String) {
        assert_away_from_home();
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args([command, "--backend", self.backend, "--state-dir"])
            .arg(self.path("state"))
            .args(more)
            .arg(self.path("cluster.toml"))
            .env_remove("SSH_CONNECTION")
            .env_remove("RINGFENCE_STATE_DIR")
            .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// What a command without a cluster file ends with.
    fn code_of(&self, command: &[&str]) -> i32 {
        assert_away_from_home();
        let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
            .args(command)
            .arg("--state-dir")
            .arg(self.path("state"))
            .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
            .output()
            .unwrap();
        output.status.code().unwrap()
    }

    /// What `hook check` ends with, as the timer runs it.
    pub fn check(&self) -> i32 {
        self.code_of(&["hook", "check", "--root", self.path("root").to_str().unwrap()])
    }

    pub fn confirm(&self) -> i32 {
        self.code_of(&["confirm"])
    }

    pub fn remove(&self) {
        assert_eq!(self.code_of(&["remove", "--root", self.path("root").to_str().unwrap()]), 0);
    }

    /// The rules that fit every node, without this program.
    pub fn load_by_hand(&self, backend: &str) {
        let tools: &[(&str, &[&str])] = match backend {
            "nft" => &[("nft", &["nft", "-f", "-"])],
            _ => {
                &[("iptables", &["iptables-restore", "--noflush"]), ("ip6tables", &["ip6tables-restore", "--noflush"])]
            }
        };
        for (format, tool) in tools {
            let output = Command::new(env!("CARGO_BIN_EXE_ringfence"))
                .args(["compile", "--sets", "never", "--format", format])
                .arg(self.path("cluster.toml"))
                .output()
                .unwrap();
            run(tool, &String::from_utf8(output.stdout).unwrap());
        }
    }

    pub fn state_word(&self) -> (i32, String) {
        let (code, out, err) = self.ringfence("status", &["--full", "--json"]);
        assert!(!out.is_empty(), "{code}: {err}");
        let document = document::of(&out);
        (code, document.get("state").unwrap().as_str().unwrap().to_owned())
    }

    pub fn apply(&self) -> (i32, String) {
        let (code, out, err) = self.ringfence("apply", &["--root", self.path("root").to_str().unwrap()]);
        (code, out + &err)
    }

    /// The exit code, and the kinds.
    pub fn diff(&self) -> (i32, Vec<String>, String) {
        let (code, out, err) = self.ringfence("diff", &["--json"]);
        assert!(!out.is_empty(), "{code}: {err}");
        let document = document::of(&out);
        let kinds =
            document.get("writes").unwrap().as_array().unwrap().iter().map(|kind| kind.as_str().unwrap().to_owned());
        (code, kinds.collect(), out + &err)
    }

    /// All that an apply may write, of the kernel's with the numbers that tell a rule from another that was put in its place.
    pub fn state(&self) -> String {
        let mut state = attempt(&["nft", "-a", "-s", "list", "ruleset"], "").unwrap();
        if self.backend == "iptables" {
            for tool in ["iptables-legacy-save", "ip6tables-legacy-save"] {
                state += &attempt(&[tool], "").unwrap();
            }
            state += &run(&["ipset", "save"], "");
        }
        state += &fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap();
        state += &fs::read_to_string(self.path("root/etc/sysctl.d/60-ringfence.conf")).unwrap_or_default();
        // Comments hold times, brackets counters.
        let lines =
            state.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(" [").next().unwrap_or(line));
        lines.map(|line| format!("{line}\n")).collect()
    }

    pub fn edit(&self, text: impl FnOnce(String) -> String) {
        let old = fs::read_to_string(self.path("cluster.toml")).unwrap();
        self.write(&text(old));
    }

    /// One edit or several: diff, apply, diff.
    pub fn round(&self, edits: &[&Edit]) {
        let names: Vec<&str> = edits.iter().map(|edit| edit.name).collect();
        for edit in edits {
            (edit.make)(self);
        }
        let before = self.state();
        let (code, kinds, said) = self.diff();
        assert_eq!(self.state(), before, "{names:?}: a diff wrote something");
        assert_eq!(code != 0, !kinds.is_empty(), "{names:?}: {said}");
        if let [edit] = edits {
            assert_eq!(kinds, edit.kinds, "{names:?}: {said}");
        }
        if edits.len() == 1 {
            self.round_of_documents(&before, &names);
            return;
        }
        let (applied, text) = self.apply();
        assert!([0, 1, 3].contains(&applied) && text.contains("in force"), "{names:?}: {applied} {text}");
        let wrote = self.state() != before;
        assert_eq!(code == 1, wrote, "{names:?}: diff said {said}\napply said {text}");
        assert!(code == 0 || code == 1, "{names:?}: {code} {said}");
        let rules = kinds.iter().any(|kind| ["meaning", "behaviour", "foreign-rules"].contains(&kind.as_str()));
        assert_eq!(!rules, text.contains("nothing had to be changed"), "{names:?}: {said}\n{text}");
        assert_eq!(
            kinds.iter().any(|kind| kind == "reserved-ports"),
            text.contains("reserved ports"),
            "{names:?}: {text}"
        );
        let (after, kinds, said) = self.diff();
        assert_eq!((after, kinds), (0, vec![]), "{names:?}: {said}\nbehind {text}");
        // Who asks in any way gets the same answer.
        let status = self.ringfence("status", &["--full"]);
        assert_eq!(status.0, applied, "{names:?}: {text}\n{}{}", status.1, status.2);
    }

    /// The same by documents: what would be written is what was, field by field.
    fn round_of_documents(&self, before: &str, names: &[&str]) {
        let (code, out, err) = self.ringfence("diff", &["--json"]);
        assert!(code == 0 || code == 1, "{names:?}: {code} {out}{err}");
        let dry = document::of(&out);
        let (applied, out, err) = self.ringfence("apply", &["--json", "--root", self.path("root").to_str().unwrap()]);
        assert!([0, 1, 3].contains(&applied), "{names:?}: {applied} {out}{err}");
        let done = document::of(&out);
        for field in document::EFFECT {
            assert!(dry.get(field).is_some(), "{field}: {dry}");
            assert_eq!(dry[field], done[field], "{names:?}: {field}: {dry}\n{done}");
        }
        let wrote = self.state() != before;
        assert_eq!(done["changed"], wrote, "{names:?}: {done}");
        assert_eq!(code == 1, wrote, "{names:?}: {dry}");
        let (after, kinds, said) = self.diff();
        assert_eq!((after, kinds), (0, vec![]), "{names:?}: {said}\nbehind {done}");
        // Who asks in any way gets the same answer.
        let (status, out, err) = self.ringfence("status", &["--full", "--json"]);
        assert_eq!(status, applied, "{names:?}: {done}\n{out}{err}");
        assert_eq!(document::of(&out)["state"], done["state"], "{names:?}");
    }

    /// Each edit alone, then some together, in an order that is the same every time.
    pub fn rounds(&self, edits: &[Edit]) {
        assert_eq!(self.diff().0, 1);
        assert_eq!(self.apply().0, 0);
        assert_eq!(self.diff().0, 0);
        for edit in edits {
            self.round(&[edit]);
        }
        let mut number: usize = 7;
        let mut next = || {
            number = number.wrapping_mul(1_103_515_245).wrapping_add(12345) & 0x7fff_ffff;
            edits.get((number >> 8) % edits.len()).unwrap()
        };
        for _ in 0..8 {
            self.round(&[next(), next(), next()]);
        }
    }
}

impl Host {
    pub fn rounds_of(&self, edits: &[Edit]) {
        for edit in edits {
            self.round(&[edit]);
        }
        for (at, edit) in edits.iter().enumerate() {
            let other = edits.get((at * 5 + 2) % edits.len()).unwrap();
            self.round(&[edit, OF_PORTS.get(at % 2).unwrap(), other]);
        }
    }
}

pub const LINKS: &str = "link set lo up\nlink add eth1 type veth peer name far\naddr add 10.20.0.11/24 dev eth1\nlink set eth1 up\nlink set far up\n";

pub fn has_iptables() -> bool {
    let missing = ["iptables", "ip6tables", "ipset", "iptables-legacy-save"].into_iter();
    let missing: Vec<&str> = missing.filter(|tool| attempt(&[tool, "--version"], "").is_err()).collect();
    if !missing.is_empty() {
        not_possible("iptables", &missing.join(", "));
    }
    missing.is_empty()
}
