//! The pages: every block of commands in README and docs is run, here or by the suite that is named, or it is said why not.
//!
//! Commands are run as they stand, on a host in a network namespace, but for what is the reader's: the place of the cluster file and of what
//! is remembered. What a block shows beside its commands has to be printed, line by line in this order; `…` leaves some out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "lab/netns.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod netns;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use netns::{Namespace, attempt, isolated, not_possible, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringfence");

/// What is done about a block.
enum How {
    /// It is run here.
    Run(fn(&Host, &str)),
    /// This test has it.
    By(&'static str, &'static str),
    /// It is not run, for this reason.
    Not(&'static str),
}

/// Every block, by its page and how it begins.
const BLOCKS: [(&str, &str, How); 31] = [
    ("README.md", "# riak-admin member-status", How::Run(first_steps)),
    ("README.md", "# rabbitmqctl cluster_status", How::Run(first_steps_of_rabbitmq)),
    (
        "README.md",
        "# ringfence apply --confirm-within 60s\nin force",
        How::By("tests/live.rs", "what_the_pages_show_is_what_was_printed"),
    ),
    ("README.md", "# /etc/ringfence/cluster.toml", How::Run(is_a_cluster_file)),
    ("README.md", "Exit codes", How::By("tests/outcomes.rs", "readme_has_the_table")),
    ("docs/apply.md", "# ringfence diff", How::By("tests/live.rs", "what_the_pages_show_is_what_was_printed")),
    ("docs/apply.md", "SHADOWED for", How::Run(shut_out_by_another)),
    ("docs/by-hand.md", "# /etc/ringfence/cluster.toml", How::Run(is_a_cluster_file)),
    ("docs/by-hand.md", "$ ringfence compile cluster.toml --format nft", How::Run(compiled)),
    ("docs/by-hand.md", "# nft -c -f", How::Run(loaded_by_nft)),
    ("docs/by-hand.md", "$ ringfence compile cluster.toml\n", How::Run(bad_input)),
    ("docs/by-hand.md", "$ ringfence compile cluster.toml --format iptables", How::Run(loaded_by_iptables)),
    (
        "docs/fleet.md",
        "$ ansible-galaxy",
        How::Not(
            "it takes hosts with sshd and Ansible, and ten minutes: `make fleet` does the same with a playbook of its own",
        ),
    ),
    (
        "docs/fleet.md",
        "- ringfence.cluster.ringfence:",
        How::Not("a task for Ansible: `make fleet` has the module, with all that it takes"),
    ),
    ("docs/membership.md", "# riak-admin member-status", How::Run(first_steps)),
    ("docs/membership.md", "[cluster]", How::By("tests/import.rs", "what_the_pages_show_is_what_came_out")),
    ("docs/membership.md", "$ ringfence lint", How::By("tests/lint.rs", "what_the_page_shows_is_what_was_printed")),
    (
        "docs/membership.md",
        "$ ringfence diff",
        How::By("tests/transcripts.rs", "what_the_pages_show_is_what_was_printed"),
    ),
    ("docs/packages.md", "# dpkg -i", How::By("tests/packages/deb.rs", "from_version_to_version_while_packets_flow")),
    ("docs/rabbitmq.md", "# rabbitmqctl cluster_status", How::Run(first_steps_of_rabbitmq)),
    ("docs/rabbitmq.md", "[cluster]", How::By("tests/import.rs", "what_the_pages_show_is_what_came_out")),
    ("docs/rehearse.md", "ringfence rehearse cluster.toml ", How::Run(each_line)),
    (
        "docs/rehearse.md",
        "$ ringfence rehearse",
        How::By("tests/rehearse.rs", "what_the_pages_show_is_what_is_printed"),
    ),
    ("docs/report.md", "ringfence report cluster.toml -o", How::Run(each_line)),
    (
        "docs/report.md",
        "$ ringfence matrix",
        How::By("tests/transcripts.rs", "what_the_page_of_reports_shows_is_what_was_printed"),
    ),
    ("docs/through.md", "[guard]", How::Run(is_a_part_of_a_cluster_file)),
    (
        "docs/verify.md",
        "$ ringfence verify",
        How::By("tests/transcripts.rs", "what_the_pages_show_is_what_was_printed"),
    ),
    ("docs/verify.md", "  NO  ", How::Run(peers_that_are_not_reached)),
    ("docs/verify.md", "$ ringfence diff", How::By("tests/transcripts.rs", "what_the_pages_show_is_what_was_printed")),
    (
        "docs/verify.md",
        "$ ringfence explain",
        How::By("tests/transcripts.rs", "what_the_pages_show_is_what_was_printed"),
    ),
    ("docs/whole.md", "ip rule;", How::Run(saved_routes)),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages that somebody follows.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap())).filter(|name| name.ends_with(".md"));
    let mut pages: Vec<String> = docs.chain(["README.md".to_owned(), "rulesets/REFERENCE.md".to_owned()]).collect();
    pages.sort();
    pages
}

/// The blocks of a page.
fn blocks(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let (mut found, mut open) = (Vec::new(), None::<String>);
    for line in text.lines() {
        match (&mut open, line.trim_start().starts_with("```")) {
            (None, true) => open = Some(String::new()),
            (None, false) => {}
            (Some(block), true) => {
                found.push(std::mem::take(block));
                open = None;
            }
            (Some(block), false) => *block = format!("{block}{line}\n"),
        }
    }
    assert!(open.is_none(), "{page}: a block has no end");
    found
}

/// The row of a block.
fn of<'h>(page: &str, block: &str) -> Vec<&'h How> {
    BLOCKS.iter().filter(|(own, start, _)| *own == page && block.starts_with(start)).map(|(_, _, how)| how).collect()
}

#[test]
fn every_block_is_run_or_it_is_said_why_not() {
    let mut seen = 0;
    for page in pages() {
        for block in blocks(&page) {
            let rows = of(&page, &block);
            assert_eq!(
                rows.len(),
                1,
                "{page} has a block that no row, or more than one, of tests/pages.rs is about:\n{block}"
            );
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen} blocks");
    for (page, start, how) in &BLOCKS {
        assert!(blocks(page).iter().any(|block| block.starts_with(start)), "{page}: no block begins so: {start}");
        match how {
            How::Run(_) => {}
            How::By(file, test) => {
                let text = fs::read_to_string(root().join(file)).unwrap();
                assert!(text.contains(&format!("fn {test}(")), "{file} has no test {test}");
            }
            How::Not(reason) => assert!(!reason.is_empty()),
        }
    }
}

/// A host of the cluster that the pages are about, with a folder of its own.
struct Host {
    folder: tempfile::TempDir,
    _namespace: Namespace,
}

impl Host {
    fn new() -> Self {
        let namespace = Namespace::unshare();
        netns::ip(
            "link set lo up\nlink add eth1 type veth peer name far\nlink set eth1 addrgenmode none\nlink set far addrgenmode none\n\
             addr add 10.20.0.11/24 dev eth1\nlink set eth1 up\nlink set far up\nroute add 10.20.1.0/24 via 10.20.0.1\n",
        );
        let host = Self { folder: tempfile::tempdir().unwrap(), _namespace: namespace };
        fs::create_dir(host.path("root")).unwrap();
        let file = blocks("docs/by-hand.md").into_iter().find(|block| block.contains("[cluster]")).unwrap();
        host.write("cluster.toml", &file);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A command line as somebody types it: how it ended, and what it printed.
    fn types(&self, line: &str) -> (i32, String) {
        netns::assert_away_from_home();
        let mut line = line.replace("/etc/ringfence/cluster.toml", "./cluster.toml").replace("/etc/hosts", "./hosts");
        // What is in /etc on a real host.
        for (command, more) in
            [("apply", " cluster.toml --root root"), ("diff", " cluster.toml"), ("status", " cluster.toml")]
        {
            if line.trim_end().starts_with(&format!("ringfence {command}")) && !line.contains("cluster.toml") {
                line = line.replacen(&format!("ringfence {command}"), &format!("ringfence {command}{more}"), 1);
            }
        }
        let script = format!(
            "ringfence() {{ {PROGRAM} \"$@\"; }}\nriak-admin() {{ cat members; }}\nrabbitmqctl() {{ cat members; }}\n{line}\n"
        );
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", &script]).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("RINGFENCE_STATE_DIR", self.path("state")).env("XTABLES_LOCKFILE", "/proc/self/ns/net");
        command.env_remove("SSH_CONNECTION");
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text)
    }

    #[track_caller]
    fn ends(&self, line: &str, codes: &[i32]) -> String {
        let (code, text) = self.types(line);
        assert!(codes.contains(&code), "{line} ends with {code}:\n{text}");
        text
    }
}

/// The lines that somebody types in a block.
fn typed(block: &str) -> Vec<&str> {
    block.lines().filter_map(|line| line.strip_prefix("# ").or_else(|| line.strip_prefix("$ "))).collect()
}

/// That these lines are printed in this order, whole.
#[track_caller]
fn shows<'l>(printed: &str, lines: impl Iterator<Item = &'l str>) {
    let mut rest = printed.lines();
    for line in lines.filter(|line| *line != "…") {
        assert!(
            rest.any(|own| own.trim_end() == line.trim_end()),
            "the page shows, but nothing printed in this order:\n{line}\n---- printed:\n{printed}"
        );
    }
}

#[test]
fn what_the_pages_say_is_run() {
    isolated("what_the_pages_say_is_run", || {
        let mut done = 0;
        for page in pages() {
            for block in blocks(&page) {
                for how in of(&page, &block) {
                    if let How::Run(run) = how {
                        run(&Host::new(), &block);
                        done += 1;
                    }
                }
            }
        }
        assert!(done >= 12, "{done} blocks were run");
    });
}

/// From a running Riak to rules that wait to be confirmed.
fn first_steps(host: &Host, block: &str) {
    fs::remove_file(host.path("cluster.toml")).unwrap();
    let rows: String = [11, 12, 13].map(|at| format!("valid      33.3%      --      'riak@10.20.0.{at}'\n")).concat();
    host.write(
        "members",
        &format!(
            "================================= Membership ==================================\n\
             Status     Ring    Pending    Node\n\
             -------------------------------------------------------------------------------\n{rows}\
             -------------------------------------------------------------------------------\n\
             Valid:3 / Leaving:0 / Exiting:0 / Joining:0 / Down:0\n"
        ),
    );
    for (line, codes) in typed(block).into_iter().zip([&[0, 1][..], &[1], &[0]]) {
        host.ends(line, codes);
    }
    assert!(host.ends("ringfence confirm", &[0]).contains("confirmed for riak@10.20.0.11"));
}

/// From a running RabbitMQ whose nodes are named by hosts to rules that wait to be confirmed, as far as the page goes.
fn first_steps_of_rabbitmq(host: &Host, block: &str) {
    fs::remove_file(host.path("cluster.toml")).unwrap();
    fs::copy(root().join("tests/import/rabbitmq-host-names/stdin"), host.path("members")).unwrap();
    fs::copy(root().join("tests/import/rabbitmq-host-names/hosts"), host.path("hosts")).unwrap();
    let lines = typed(block);
    for (line, codes) in lines.iter().zip([&[0][..], &[1], &[0]]) {
        host.ends(line, codes);
    }
    host.ends("ringfence check cluster.toml", &[0]);
    if lines.len() > 1 {
        assert!(host.ends("ringfence confirm", &[0]).contains("confirmed for rabbit@mq1"));
    }
}

fn is_a_cluster_file(host: &Host, block: &str) {
    host.write("cluster.toml", block);
    host.ends("ringfence check cluster.toml", &[0]);
}

fn is_a_part_of_a_cluster_file(host: &Host, block: &str) {
    let whole = fs::read_to_string(host.path("cluster.toml")).unwrap();
    host.write("cluster.toml", &format!("{whole}\n{block}"));
    host.ends("ringfence check cluster.toml", &[0]);
}

fn compiled(host: &Host, block: &str) {
    let [compile, shown] = typed(block)[..2] else { panic!("{block}") };
    host.ends(compile, &[0]);
    let printed = host.ends(shown, &[0]);
    // The digest is the file's, which the page shows in a block of its own.
    shows(&printed, block.lines().skip(2));
}

fn loaded_by_nft(host: &Host, block: &str) {
    host.ends("ringfence compile cluster.toml --format nft,sysctl -o out", &[0]);
    typed(block).into_iter().for_each(|line| _ = host.ends(line, &[0]));
    assert!(run(&["nft", "list", "tables"], "").contains("table inet ringfence"));
    let ports = fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap();
    assert_eq!(ports.trim(), "4369,6000-6009,8087,8098-8099");
}

fn loaded_by_iptables(host: &Host, block: &str) {
    if let Err(error) = attempt(&["ipset", "create", "x", "hash:ip"], "") {
        return not_possible("rules of iptables", &error);
    }
    typed(block).into_iter().for_each(|line| _ = host.ends(line, &[0]));
    assert!(host.ends("ringfence status cluster.toml", &[6]).contains("IN FORCE, BUT NOT BY apply: enforced"));
}

fn bad_input(host: &Host, block: &str) {
    let whole = fs::read_to_string(host.path("cluster.toml")).unwrap();
    let bad = whole
        .replace("riak@10.20.0.13", "riak@db4")
        .replace("10.20.1.0/24", "10.20.1.1/24")
        .replace("\"http\"", "\"htpp\"");
    host.write("cluster.toml", &bad);
    let printed = host.ends(typed(block)[0], &[2]);
    shows(&printed, block.lines().skip(1));
}

/// Lines of the same command, each with what it is for behind it.
fn each_line(host: &Host, block: &str) {
    if let Err(error) = attempt(&["ipset", "--version"], "") {
        return not_possible("rules of iptables", &error);
    }
    host.ends("ringfence compile cluster.toml --format nft -o out", &[0]);
    host.ends("ringfence apply", &[0]);
    fs::copy(host.path("out/ringfence.nft"), host.path("old.nft")).unwrap();
    host.ends("ringfence rehearse cluster.toml --json >seen.json", &[0]);
    host.ends("ringfence lint cluster.toml --json --node riak@10.20.0.11 >host.json", &[0, 1, 2, 3]);
    host.ends("ringfence report cluster.toml -o review.json", &[0]);
    for line in block.lines() {
        let line = line.split("  #").next().unwrap().trim_end().replace("FILE…", "out/ringfence.nft");
        host.ends(&line, &[0]);
    }
}

/// Whose final reject shuts peers out.
fn shut_out_by_another(host: &Host, block: &str) {
    netns::ip(
        "addr del 10.20.0.11/24 dev eth1\nlink set eth1 down\nlink set eth1 name eth0\naddr add 10.9.0.1/24 dev eth0\nlink set eth0 up\n",
    );
    host.write(
        "cluster.toml",
        "[cluster]\nname = \"c\"\nnodes = [\"riak@10.9.0.1\", \"riak@10.9.0.5\"]\n[networks]\nprivate = [\"10.9.0.0/24\"]\n\
         [services.distribution]\nports = \"6000-6009\"\n",
    );
    run(
        &["nft", "-f", "-"],
        "table inet filter {\nchain input {\ntype filter hook input priority 0; policy accept;\nct state established,related accept\n\
         iif \"lo\" accept\nmeta l4proto { icmp, ipv6-icmp } accept\ntcp dport 22 accept\nreject\n}\n}\n",
    );
    host.ends("ringfence apply", &[1]);
    shows(&host.ends("ringfence status", &[1]), block.lines());
}

/// An output chain that forgets ports.
fn peers_that_are_not_reached(host: &Host, block: &str) {
    run(
        &["nft", "-f", "-"],
        "table inet fw {\nchain out {\ntype filter hook output priority 0; policy drop;\nct state established,related accept\n\
         oif \"lo\" accept\nicmp type echo-request accept\nicmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept\n\
         tcp dport { 4369, 6000-6009, 8098 } accept\n}\n}\n",
    );
    host.ends("ringfence apply", &[0, 1]);
    shows(&host.ends("ringfence verify cluster.toml --live", &[1]), block.lines());
}

/// What `verify --routes` reads.
fn saved_routes(host: &Host, block: &str) {
    let line = block.trim();
    host.ends(&format!("{{ {line}; }} >routes"), &[0]);
    host.ends("ringfence apply", &[0]);
    host.ends("nft list ruleset >rules", &[0]);
    host.ends("ringfence verify cluster.toml --node riak@10.20.0.11 --ruleset rules --routes routes", &[0]);
}
