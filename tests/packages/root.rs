//! A Debian that vanishes, in the lab's host: what is written goes into a layer above the one that all tests share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::hammer::Hammer;
use super::lab::Lab;
use super::lab::netns::{assert_away_from_home, attempt, ip};
use super::lab::rules::GUARDED;
use super::lab::server::Server;

pub const CONFIG: &str = "/etc/ringfence/cluster.toml";
/// As many probes of each kind as an upgrade has to stand at least.
const PROBES: u64 = 2000;

pub struct Root {
    pub lab: Lab,
    folder: tempfile::TempDir,
    _server: Server,
}

/// How a script ended, and all that it said.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub said: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), said: text(&output.stdout) + &text(&output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    pub fn ended(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{}", self.said);
        self
    }

    #[track_caller]
    pub fn fine(self) -> Ran {
        self.ended(0)
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Ran {
        assert!(self.said.contains(words), "\"{words}\" is not said:\n{}", self.said);
        self
    }
}

pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The one package of a kind that was made for the tests.
pub fn package(extension: &str) -> PathBuf {
    let folder = project().join("target/packages-for-tests");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("make packages-for-tests first: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found = paths.filter(|path| path.extension().is_some_and(|own| own == extension));
    found.next().expect("make packages-for-tests first")
}

/// A cluster of the host, of the hammer's peers, and of others.
pub fn cluster(more_nodes: &str, more: &str) -> String {
    format!(
        "[cluster]\nname = \"lab\"\nprofile = \"riak\"\n\
         nodes = [\"riak@10.20.0.1\", \"riak@10.20.0.12\", \"riak@fd20::13\"{more_nodes}]\n\
         [networks]\nprivate = [\"10.20.0.0/24\", \"fd20::/64\"]\n{more}\n"
    )
}

pub fn small() -> String {
    cluster("", "[services.distribution]\nports = \"6000-6009\"")
}

/// Other members and other rules.
pub fn larger() -> String {
    let more = "[services.distribution]\nports = \"6000-6019\"\n\
                [[client]]\nname = \"web\"\nfrom = [\"10.20.1.0/24\"]\nservices = [\"http\"]";
    cluster(", \"riak@10.20.0.15\"", more)
}

impl Root {
    pub fn new() -> Root {
        let lab = Lab::new();
        // To the peers from the address that they know.
        ip("addr add 10.20.0.1/32 dev eth1\nroute add 10.20.0.0/24 via 198.18.0.254 dev eth1 onlink src 10.20.0.1\n");
        let server = Server::start(GUARDED);
        // An overlay cannot lie upon another one, which /tmp may be.
        let place = project().join("target/chroot");
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(place).expect("a folder");
        for name in ["upper", "work", "root"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let root = Root { lab, folder, _server: server };
        for kind in ["deb", "rpm"] {
            let package = package(kind);
            fs::copy(&package, root.path(&format!("/ringfence.{kind}"))).expect("copying the package");
        }
        root
    }

    /// What no other root is called.
    pub fn name(&self) -> String {
        self.folder.path().file_name().expect("a name").to_string_lossy().into_owned()
    }

    /// Where a file that is written into the root is seen from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(format!("upper{path}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("writing");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What mounts the root and goes on there.
    pub fn mounted(&self, start: &str) -> String {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let base = project().join("target/chroot/bookworm");
        let options = format!("lowerdir={},upperdir={},workdir={}", base.display(), at("upper"), at("work"));
        let root = at("root");
        format!("set -e\nmount -t overlay overlay -o '{options}' '{root}'\ncd '{root}'\n{start}\n")
    }

    /// Runs a script inside, by what `start` does in its root folder.
    fn script(&self, namespaces: &[&str], start: &str, script: &str) -> Ran {
        assert_away_from_home();
        let outside = self.mounted(start);
        Command::new("unshare")
            .args(["--mount", "--ipc"])
            .args(namespaces)
            .args(["--", "sh", "-c", &outside])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("SCRIPT", script)
            .stdin(Stdio::null())
            .output()
            .expect("unshare runs")
            .into()
    }

    /// On a machine whose root this is: process 1 has it, too.
    pub fn sh(&self, script: &str) -> Ran {
        let start = "mount -t proc proc proc; exec chroot . /bin/sh -c \"$SCRIPT\"";
        self.script(&["--pid", "--fork", "--kill-child"], start, script)
    }

    /// On a machine that builds an image, with or without a /proc.
    pub fn sh_in_image(&self, with_proc: bool, script: &str) -> Ran {
        let proc = if with_proc { "mount -t proc proc proc" } else { ":" };
        // Process 1 stays outside.
        let start = format!("{proc}; code=0; chroot . /bin/sh -c \"$SCRIPT\" || code=$?; exit $code");
        self.script(&["--pid", "--fork", "--kill-child"], &start, script)
    }

    /// Another version of the package, which only calls itself so.
    pub fn other_deb(&self, version: &str) -> String {
        let script = format!(
            "rm -rf /other && dpkg-deb -R /ringfence.deb /other && \
             sed -i 's/^Version: .*/Version: {version}/' /other/DEBIAN/control && \
             dpkg-deb -Znone -b /other /ringfence-{version}.deb && rm -rf /other"
        );
        self.sh(&script).fine();
        format!("/ringfence-{version}.deb")
    }

    #[track_caller]
    pub fn install(&self) -> Ran {
        self.sh("dpkg -i /ringfence.deb").fine()
    }

    #[track_caller]
    pub fn proves(&self) {
        self.sh("ringfence status --full").fine().says("enforced for riak@10.20.0.1");
    }

    /// Our table as nft lists it, without counters.
    pub fn table(&self) -> String {
        attempt(&["nft", "-s", "list", "table", "inet", "ringfence"], "").unwrap_or_default()
    }

    /// That the hammer finds nobody getting through and nobody lost, and has tried often.
    #[track_caller]
    pub fn stood(&self, hammer: Hammer) {
        hammer.at_least(PROBES);
        hammer.stop_unharmed();
    }
}
