//! The window after a flush: somebody takes the guard away while `ringfence watch` runs, and it comes back. How long that took is
//! printed, with what packets of a stranger found.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::beside::path_with_tools;
use super::hammer::Hammer;
use super::machine::{Machine, PROGRAM, eventually};
use crate::lab::netns::{attempt, run};
use crate::on_a_machine;

/// What a reload of Debian's nftables.service does.
const CONF: &str = "flush ruleset\ntable inet filter {\nchain input { type filter hook input priority filter; }\n\
                    chain forward { type filter hook forward priority filter; }\n}\n";

struct Watch(Child);

impl Watch {
    fn start(machine: &Machine) -> Watch {
        Watch::start_with(machine, None)
    }

    /// With other tools.
    fn start_with(machine: &Machine, path: Option<&str>) -> Watch {
        let log = fs::File::create(machine.path("watch.log")).expect("a file");
        let mut command = machine.command(PROGRAM, &[], "watch --wait 1");
        path.into_iter().for_each(|path| {
            command.env("PATH", path);
        });
        let watch = Watch(command.stdout(Stdio::null()).stderr(log).spawn().expect("the watch runs"));
        eventually("the watch listens", || listens(&watch.0));
        watch
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("a child").is_none()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether it hears of nf_tables and has had its first look, as its lock in the state folder shows.
fn listens(child: &Child) -> bool {
    let number = child.id().to_string();
    let sockets = fs::read_to_string(format!("/proc/{number}/net/netlink")).unwrap_or_default();
    let heard = sockets.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"12") && words.get(2) == Some(&number.as_str()) && words.get(3) == Some(&"00000040")
    });
    heard && looks(child) > 0
}

fn log(machine: &Machine) -> String {
    fs::read_to_string(machine.path("watch.log")).unwrap_or_default()
}

/// Whether rules of ours are in force again, and are proved.
fn enforced(machine: &Machine) -> bool {
    machine.ringfence("status old.toml").code == Some(0)
}

/// Takes the guard away while a stranger and a peer try all the time.
fn comes_back(machine: &Machine, watch: &mut Watch, how: &str, take_away: impl FnOnce()) {
    let hammer = Hammer::start(&machine.lab);
    hammer.some_rounds();
    let began = Instant::now();
    take_away();
    let gone = began.elapsed();
    eventually(&format!("the guard is back after {how}: {}", log(machine)), || enforced(machine));
    hammer.some_rounds();
    let harm = hammer.stop();
    assert!(harm.lost.is_empty(), "{how}: {harm:#?}");
    let window = harm.first.zip(harm.last).map_or(Duration::ZERO, |(first, last)| last - first);
    println!("{how} took {gone:?}; strangers got in {} times, for {window:?}", harm.strangers);
    machine.guards();
    assert!(watch.is_running(), "{}", log(machine));
}

/// Of the old iptables the kernel says nothing.
fn brings_back_with_iptables(machine: &Machine, variant: &str) {
    let path = path_with_tools(machine, variant);
    let mut command = machine.command(PROGRAM, &[], "apply --backend iptables old.toml");
    if !command.env("PATH", &path).status().expect("the program runs").success() {
        assert!(variant == "legacy", "nothing was applied");
        return;
    }
    let mut watch = Watch::start_with(machine, Some(&path));
    comes_back(machine, &mut watch, &format!("iptables-{variant} -F"), || {
        for tool in ["iptables", "ip6tables"] {
            run(&[&format!("{tool}-{variant}"), "-t", "raw", "-F"], "");
            run(&[&format!("{tool}-{variant}"), "-t", "mangle", "-F"], "");
        }
    });
}

fn nft(script: &str) {
    run(&["nft", "-f", "-"], script);
}

fn handle() -> String {
    attempt(&["nft", "-a", "list", "tables"], "").unwrap_or_default()
}

on_a_machine! {
    fn a_watch_brings_back_what_is_flushed(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let mut watch = Watch::start(machine);
        comes_back(machine, &mut watch, "flush ruleset", || nft("flush ruleset\n"));
        comes_back(machine, &mut watch, "nft -f /etc/nftables.conf", || nft(CONF));
        comes_back(machine, &mut watch, "delete table", || nft("delete table inet ringfence\n"));
        comes_back(machine, &mut watch, "flush table", || nft("flush table inet ringfence\n"));
        comes_back(machine, &mut watch, "an element", || nft("add element inet ringfence peers4 { 203.0.113.77 }\n"));
        // Its own changes are no reason to go on.
        let before = handle();
        thread::sleep(Duration::from_secs(1));
        assert_eq!(handle(), before, "{}", log(machine));
        let said = log(machine);
        assert_eq!(said.matches("DRIFTED").count(), 5, "{said}");
    }

    fn a_watch_brings_back_what_is_flushed_by_iptables_nft(machine) {
        brings_back_with_iptables(machine, "nft");
    }

    fn a_watch_brings_back_what_is_flushed_by_iptables_legacy(machine) {
        brings_back_with_iptables(machine, "legacy");
    }

    fn what_was_removed_on_purpose_stays_away(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let mut watch = Watch::start(machine);
        machine.ringfence("remove").ended(0);
        thread::sleep(Duration::from_secs(1));
        assert!(machine.table().contains("No such file"), "{}\n{}", machine.table(), log(machine));
        // It is there all the same when something is applied again.
        machine.ringfence("apply old.toml").ended(0);
        comes_back(machine, &mut watch, "flush ruleset after a removal", || nft("flush ruleset\n"));
    }

    fn whoever_holds_the_lock_is_waited_for(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let mut watch = Watch::start(machine);
        let lock = fs::File::open(machine.path("state/run/lock")).expect("the lock");
        eventually("nobody holds it", || lock.try_lock().is_ok());
        nft("flush ruleset\n");
        // Longer than it waits.
        thread::sleep(Duration::from_millis(2500));
        assert!(watch.is_running() && machine.table().contains("No such file"), "{}", log(machine));
        drop(lock);
        eventually("the guard is back", || enforced(machine));
        let said = log(machine);
        assert_eq!(said.matches("another ringfence is at work").count(), 1, "{said}");
    }

    fn the_rules_of_others_are_none_of_its_business(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let mut watch = Watch::start(machine);
        nft("table ip theirs {\nchain c { }\n}\n");
        eventually("it is quiet", || enforced(machine));
        thread::sleep(Duration::from_secs(3));
        let before = looks(&watch.0);
        for _ in 0..100 {
            nft("add rule ip theirs c counter\nadd chain ip theirs d\ndelete chain ip theirs d\n");
        }
        thread::sleep(Duration::from_secs(3));
        assert_eq!(looks(&watch.0), before, "it looked at what does not concern it: {}", log(machine));
        assert!(watch.is_running());
        // A translation does.
        nft("table ip p {\nchain pre { type nat hook prerouting priority -100; tcp dport 9 redirect to :10; }\n}\n");
        eventually("the guard knows of it", || enforced(machine));
        assert!(looks(&watch.0) > before);
    }
}

/// Bytes that a process has asked to be written: each look that finds something to do writes, and each takes the lock, which
/// is signed.
fn looks(child: &Child) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/io", child.id())).expect("its counts");
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("a count");
    line.parse().expect("a number")
}
