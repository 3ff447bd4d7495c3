//! The commands, from a cluster file to connections, through tables of nft and iptables and through firewalld.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::stage::{DENIED, Machine, PEER, STRANGER, alone, assert_same, files, shell, tried};

pub const CONFIG: &str = "/run/c.toml";
pub const STATE: &str = "/run/state";

/// What a command says, and how it ends.
pub struct Ran {
    code: i32,
    pub said: String,
}

impl Ran {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.said);
        self
    }

    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.said.contains(words), "no {words:?} in\n{}", self.said);
        self
    }
}

pub fn ringfence(arguments: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let output = command
        .args(arguments.split(' '))
        .args(["--state-dir", STATE])
        .stdin(Stdio::null())
        .output()
        .expect("ringfence runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ran { code: output.status.code().unwrap_or(-1), said }
}

/// A cluster of this machine, the peer and, where that is asked for, the one whom the admin denies.
pub fn cluster(through: &str, with_denied: bool, more: &str) {
    let peers: &[[&str; 2]] = if with_denied { &[PEER, DENIED] } else { &[PEER] };
    let nodes = peers
        .iter()
        .enumerate()
        .map(|(at, [v4, v6])| format!("[[node]]\nname = \"riak@peer{at}\"\naddresses = [\"{v4}\", \"{v6}\"]\n"));
    let text = format!(
        "[cluster]\nname = \"c\"\n[networks]\nprivate = [\"10.77.0.0/24\", \"fd77::/64\"]\n[services.distribution]\n\
         ports = \"6000-6009\"\n[guard]\nopen-through = \"{through}\"\n{more}\n[[node]]\nname = \"riak@host\"\naddresses = \
         [\"10.77.0.1\", \"fd77::1\"]\n{}",
        nodes.collect::<String>()
    );
    fs::write(CONFIG, text).unwrap();
}

/// As people write it, with a word about one peer.
const NFTABLES_CONF: &str = "flush ruleset
table inet filter {
	chain input {
		type filter hook input priority 0; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iif lo accept
		meta l4proto { icmp, ipv6-icmp } accept
		ip saddr 10.77.0.3 counter drop
		ip6 saddr fd77::3 drop
		tcp dport 22 accept
		counter reject with icmpx admin-prohibited
	}
	chain output {
		type filter hook output priority 0; policy drop;
		ct state established,related accept
		oif lo accept
		meta l4proto ipv6-icmp accept
	}
}
";

pub fn load_nftables() {
    fs::write("/run/nftables.conf", NFTABLES_CONF).unwrap();
    shell("nft -f /run/nftables.conf");
}

/// Without what packets have changed.
fn nftables() -> String {
    shell("nft --stateless list ruleset")
}

#[test]
fn through_tables_of_nft() {
    alone("commands::through_tables_of_nft", |machine| {
        load_nftables();
        let before = nftables();
        machine.assert_blocked("before");
        assert!(PEER.iter().all(|to| !machine.calls(to)), "before");

        cluster("none", true, "");
        ringfence(&format!("apply {CONFIG}"))
            .ended(1)
            .says("SHADOWED")
            .says("`open-through = \"nftables\"` under [guard]");
        machine.assert_blocked("with the guard alone");
        ringfence(&format!("status {CONFIG}")).ended(1).says("chain input of table inet filter: counter reject");

        cluster("auto", true, "");
        let line = "table inet filter, chain input, before its rule 7, which drops the rest: meta l4proto tcp jump open-ringfence-in";
        ringfence(&format!("diff {CONFIG}")).ended(1).says(line);
        // One of the peers is hit by a rule of its own, which stays the stronger one, and is said.
        ringfence(&format!("apply {CONFIG}")).ended(1).says("SHADOWED").says("10.77.0.3");
        machine.assert_through("after apply");
        ringfence(&format!("diff {CONFIG}")).ended(0);

        // As a reload of nftables.service.
        load_nftables();
        ringfence("hook check").says("what was applied last is brought back");
        machine.assert_through("after a reload");
        // An admin's new rule right behind ours is heard before it.
        shell(
            "nft insert rule inet filter input handle $(nft -a list chain inet filter input | sed -n 's/.*reject.*handle //p') ip saddr 10.77.0.2 tcp dport 8099 drop",
        );
        ringfence(&format!("status {CONFIG}")).ended(1).says("leads there no more");
        ringfence("hook check");
        assert!(!machine.reaches(PEER[0], 8099) && machine.reaches(PEER[1], 8099) && machine.reaches(PEER[0], 8098));
        shell(
            "nft -a list chain inet filter input | sed -n 's/.*8099 drop # handle //p' | xargs nft delete rule inet filter input handle",
        );

        // A rule at the end stays, and so does whatever else is the admin's.
        shell("nft add rule inet filter input ip saddr 192.0.2.7 drop");
        let theirs = nftables();
        ringfence("hook check");
        assert_eq!(nftables(), theirs);
        shell(
            "nft -a list chain inet filter input | sed -n 's/.*192.0.2.7 drop # handle //p' | xargs nft delete rule inet filter input handle",
        );

        // Even where everything else is open, strangers stay out.
        shell("nft insert rule inet filter input accept");
        assert!(!machine.reaches(STRANGER[0], 8098) && machine.reaches(PEER[0], 8098));
        shell(
            "nft -a list chain inet filter input | sed -n 's/^\\t\\taccept # handle //p' | xargs nft delete rule inet filter input handle",
        );

        ringfence("remove").ended(0).says("removed: what other firewalls let through for it, rules");
        assert_eq!(nftables(), before);
        machine.assert_blocked("after remove");
    });
}

#[test]
fn a_change_that_nobody_confirms_leaves_no_trace() {
    alone("commands::a_change_that_nobody_confirms_leaves_no_trace", |machine| {
        load_nftables();
        let before = nftables();
        cluster("auto", false, "");
        ringfence(&format!("apply {CONFIG} --confirm-within 60s")).ended(0).says("NOT CONFIRMED");
        assert!(machine.reaches(PEER[0], 8098));
        ringfence("rollback").ended(0);
        assert_eq!(nftables(), before);

        ringfence(&format!("apply {CONFIG} --confirm-within 1s"));
        let end = Instant::now() + Duration::from_secs(30);
        while nftables() != before {
            assert!(Instant::now() < end, "{}", nftables());
            std::thread::sleep(Duration::from_millis(200));
        }
        // What was confirmed once is what a later change goes back to.
        ringfence(&format!("apply {CONFIG}")).ended(0);
        let opened = nftables();
        cluster("none", false, "");
        ringfence(&format!("apply {CONFIG} --confirm-within 60s"));
        assert!(!machine.reaches(PEER[0], 8098));
        ringfence("rollback").ended(0);
        assert!(machine.reaches(PEER[0], 8098) && machine.reaches(PEER[1], 4369));
        assert_eq!(sorted(&nftables()), sorted(&opened));
    });
}

/// Chains that were taken out and came again stand behind the others.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// An old script, for both families.
pub fn load_iptables(variant: &str) {
    for (program, denied, other) in [("iptables", DENIED[0], "192.0.2.7"), ("ip6tables", DENIED[1], "2001:db8::7")] {
        let run = format!("{program}-{variant}");
        shell(&format!(
            "{run} -N LOGDROP\n{run} -A LOGDROP -m limit --limit 5/min -j LOG\n{run} -A LOGDROP -j DROP\n\
             {run} -A INPUT -i lo -j ACCEPT\n{run} -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
             {run} -A INPUT -m conntrack --ctstate NEW,DNAT -s {other} -j DROP\n{run} -A INPUT -s {denied} -j LOGDROP\n{run} -A INPUT -p tcp --dport 22 -j ACCEPT\n\
             {run} -A INPUT -p ipv6-icmp -j ACCEPT\n{run} -A INPUT -j LOGDROP\n{run} -P INPUT DROP\n\
             {run} -A OUTPUT -o lo -j ACCEPT\n{run} -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\n\
             {run} -A OUTPUT -p ipv6-icmp -j ACCEPT\n{run} -P OUTPUT DROP"
        ));
    }
}

/// The table `filter` of both families, without what packets have changed.
pub fn filter(variant: &str) -> String {
    let of = |program: &str| shell(&format!("{program}-{variant}-save -t filter | sed 's/^#.*//; s/\\[[0-9:]*\\]//'"));
    format!("{}{}", of("iptables"), of("ip6tables"))
}

fn through_iptables(machine: &Machine, variant: &str, more: &str) {
    load_iptables(variant);
    let before = filter(variant);
    assert!(PEER.iter().all(|to| !machine.calls(to)), "before");
    let backend = if variant == "nft" { "nft" } else { "iptables" };
    cluster("none", true, "");
    ringfence(&format!("apply {CONFIG} --backend {backend}"))
        .ended(1)
        .says("`open-through = \"iptables\"` under [guard]");
    cluster("iptables", true, more);
    ringfence(&format!("apply {CONFIG} --backend {backend}")).ended(1).says("SHADOWED").says("10.77.0.3");
    machine.assert_through("after apply");
    assert!(PEER.iter().all(|to| machine.calls(to)), "after apply");
    assert!(STRANGER.iter().all(|to| !machine.calls(to)), "no wider than what is admitted");
    ringfence(&format!("diff {CONFIG}")).ended(0);
    let opened = filter(variant);
    // Somebody loads the saved rules again.
    fs::write("/run/saved", shell(&format!("iptables-{variant}-save -t filter"))).unwrap();
    shell(&format!("grep -v open-ringfence /run/saved | iptables-{variant}-restore"));
    ringfence("hook check").says("what was applied last is brought back");
    machine.assert_through("after the rules were loaded again");
    assert_eq!(filter(variant), opened);
    ringfence("remove").ended(0);
    assert_eq!(filter(variant), before);
    assert!(!tried("ipset list -name").unwrap_or_default().contains("ringfence"));
}

/// So many that rules would be too many.
fn many_clients() -> String {
    let list: Vec<String> = (0..200).map(|at| format!("\"10.80.{at}.0/25\", \"fd80:0:0:{at:x}::/64\"")).collect();
    let peer = format!("\"{}\", \"{}\"", PEER[0], PEER[1]);
    format!("[[client]]\nname = \"many\"\nfrom = [{}, {peer}]\nservices = [\"http\"]\n", list.join(", "))
}

#[test]
fn through_chains_of_iptables_over_nf_tables() {
    alone("commands::through_chains_of_iptables_over_nf_tables", |machine| through_iptables(&machine, "nft", ""));
}

#[test]
fn through_chains_of_iptables_legacy_with_many_sources() {
    alone("commands::through_chains_of_iptables_legacy_with_many_sources", |machine| {
        through_iptables(&machine, "legacy", &many_clients());
    });
}

/// As at the start of a machine: no rules, no sets.
fn nothing_is_loaded() {
    for program in ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"] {
        for table in ["filter", "raw", "mangle"] {
            shell(&format!("{program} -t {table} -F; {program} -t {table} -X"));
        }
        shell(&format!("{program} -P INPUT ACCEPT"));
    }
    shell("ipset destroy");
}

/// Whoever saves what is in the kernel saves ours with his own, and loads it at the start of the machine before the guard comes.
fn saved_with_ours(machine: &Machine, variant: &str) {
    load_iptables(variant);
    cluster("iptables", true, &many_clients());
    ringfence(&format!("apply {CONFIG} --backend iptables")).ended(1).says("SHADOWED").says("10.77.0.3");
    shell(&format!(
        "mkdir -p /etc/iptables; iptables-{variant}-save >/etc/iptables/rules.v4; ip6tables-{variant}-save >/etc/iptables/rules.v6"
    ));
    let load = || {
        tried(&format!("iptables-{variant}-restore </etc/iptables/rules.v4"))?;
        tried(&format!("ip6tables-{variant}-restore </etc/iptables/rules.v6"))
    };
    nothing_is_loaded();
    let failed = load().expect_err("its sets are not there");
    assert!(failed.contains("ringfence"), "{failed}");
    ringfence("hook before-load").ended(0);
    load().expect("all of it is loaded");
    assert!(STRANGER.iter().all(|from| !machine.reaches(from, 8098)), "until the guard comes");
    ringfence(&format!("apply {CONFIG} --boot")).says("10.77.0.3");
    machine.assert_through("after the start");
    ringfence("remove").ended(0).says("/etc/iptables/rules.v4, line").says("/etc/iptables/rules.v6, line");
    nothing_is_loaded();
    ringfence(&format!("status {CONFIG}")).ended(4).says("ABSENT").says("/etc/iptables/rules.v4, line");
    shell("rm -r /etc/iptables");
    assert!(!ringfence(&format!("status {CONFIG}")).said.contains("/etc/iptables"));
}

#[test]
fn what_was_saved_with_ours_over_nf_tables_loads() {
    alone("commands::what_was_saved_with_ours_over_nf_tables_loads", |machine| saved_with_ours(&machine, "nft"));
}

#[test]
fn what_was_saved_with_ours_of_legacy_loads() {
    alone("commands::what_was_saved_with_ours_of_legacy_loads", |machine| saved_with_ours(&machine, "legacy"));
}

/// A set that is there has the room that it was made with.
#[test]
fn a_set_grows_beyond_any_room() {
    alone("commands::a_set_grows_beyond_any_room", |machine| {
        load_iptables("nft");
        shell("ipset create open-ringfence-http-many4 hash:net family inet maxelem 65536");
        cluster("iptables", true, &many_clients());
        ringfence(&format!("apply {CONFIG}")).ended(1).says("SHADOWED").says("10.77.0.3");
        machine.assert_through("after apply");
        let said = shell("ipset list -terse");
        let room = said.lines().find_map(|line| line.split("maxelem ").nth(1)).expect("a set");
        assert!(room.split(' ').next().unwrap().parse::<usize>().unwrap() > 65_536, "{said}");
    });
}

/// The whole story of a program that is told by its own means: its word, its folder, what `diff` says first, what of its own commands
/// leaves all as it is, and one that takes something away.
fn through_program(machine: &Machine, (word, etc, first): (&str, &str, &str), harmless: &[&str], takes: &str) {
    let before = files(etc);
    machine.assert_blocked("before");
    cluster("none", false, "");
    ringfence(&format!("apply {CONFIG}")).ended(1).says(&format!("`open-through = \"{word}\"` under [guard]"));
    cluster("auto", false, "");
    let planned = ringfence(&format!("diff {CONFIG}")).ended(1).says(first).says("the guard stays as it is");
    planned.says("the answers that follow are of this host as it is");
    let status = ringfence(&format!("status {CONFIG}")).ended(6);
    assert!(status.said.contains("NOT APPLIED") && !status.said.contains("DRIFTED"), "{}", status.said);
    ringfence(&format!("apply {CONFIG}"))
        .ended(0)
        .says("what other firewalls of this host let through was brought up to date");
    machine.assert_through("after apply");
    ringfence(&format!("status {CONFIG}")).ended(0).says("enforced");
    ringfence(&format!("diff {CONFIG}")).ended(0);
    for command in harmless {
        shell(command);
        machine.assert_through(command);
    }
    shell(takes);
    assert!(!machine.reaches(PEER[0], 8098), "{takes}");
    ringfence(&format!("status {CONFIG}")).ended(1).says(first);
    ringfence("hook check").says("what was applied last is brought back");
    machine.assert_through("after it was taken away");
    cluster("none", false, "");
    ringfence(&format!("apply {CONFIG} --confirm-within 60s"));
    assert!(!machine.reaches(PEER[0], 8098), "not wanted any more");
    ringfence("rollback").ended(0);
    machine.assert_through("after a change was taken back");
    ringfence("remove").ended(0).says("what other firewalls of this host drop they drop for peers again");
    machine.assert_blocked("after remove");
    assert_same(&before, &files(etc));
}

#[test]
fn through_firewalld() {
    alone("commands::through_firewalld", |mut machine| {
        machine.start_firewalld();
        let own = ("firewalld", "/etc/firewalld", "write /etc/firewalld/policies/ringfence.xml");
        let takes = "rm /etc/firewalld/policies/ringfence.xml && firewall-cmd --reload";
        through_program(&machine, own, &["firewall-cmd --reload"], takes);
    });
}

#[test]
fn through_ufw() {
    alone("commands::through_ufw", |machine| {
        shell("ufw --force enable; ufw allow 22/tcp");
        let own = ("ufw", "/etc/ufw", "ufw allow proto tcp from 10.77.0.2");
        let takes = "ufw --force delete allow proto tcp from 10.77.0.2 to any port 4369,6000:6009,8098:8099";
        through_program(&machine, own, &["ufw reload", "ufw disable; ufw --force enable"], takes);
    });
}

/// Another program (fail2ban, say) puts a rule in between our look at the chain and our change, each time the first time.
const RACING: &str = "#!/bin/sh
text=$(cat)
for what in I D; do
	case \"$text\" in *\"-$what INPUT\"*)
		[ -e /run/raced-$what ] || { touch /run/raced-$what; iptables-nft -I INPUT 1 -s 192.0.2.77 -j DROP; }
	esac
done
printf '%s\\n' \"$text\" | exec /usr/sbin/iptables-nft-restore \"$@\"
";

#[test]
fn a_rule_that_comes_in_between_is_heard_first_and_stays() {
    alone("commands::a_rule_that_comes_in_between_is_heard_first_and_stays", |machine| {
        load_iptables("nft");
        fs::create_dir("/run/bin").unwrap();
        let racing = RACING;
        fs::write("/run/bin/iptables-nft-restore", racing).unwrap();
        fs::write("/run/bin/iptables-restore", racing).unwrap();
        shell("chmod +x /run/bin/*");
        // The one whom the admin denies stands right before what drops the rest.
        shell(
            "iptables-nft -D INPUT -s 10.77.0.3 -j LOGDROP; iptables-nft -I INPUT 6 -s 10.77.0.3 -j LOGDROP 2>/dev/null || iptables-nft -I INPUT 5 -s 10.77.0.3 -j LOGDROP",
        );
        let before = filter("nft");
        cluster("iptables", true, "");
        let run = |arguments: &str| {
            let bin = env!("CARGO_BIN_EXE_ringfence");
            tried(&format!("PATH=/run/bin:$PATH {bin} {arguments} --state-dir {STATE} 2>&1 || true")).unwrap()
        };
        let said = run(&format!("apply {CONFIG} --backend nft"));
        assert!(fs::exists("/run/raced-I").unwrap(), "{said}");
        machine.assert_through("after apply");
        ringfence(&format!("diff {CONFIG} --backend nft")).ended(0);
        let said = run("remove");
        assert!(said.contains("removed"), "{said}");
        let after = filter("nft");
        let rule = "-A INPUT -s 192.0.2.77/32 -j DROP\n";
        assert_eq!(after.matches(rule).count(), 2, "{after}");
        assert_eq!(after.replace(rule, ""), before);
    });
}

/// The first time that a rule of ours is to go by its words, another program puts one before it and takes ours for one of its own.
const REFUSING: &str = "#!/bin/sh
text=$(cat)
case \"$text\" in *'-D INPUT'*)
	[ -e /run/refused ] || { touch /run/refused; iptables-nft -I INPUT 1 -s 192.0.2.77 -j DROP; echo 'Bad rule' >&2; exit 1; }
esac
printf '%s\\n' \"$text\" | exec /usr/sbin/iptables-nft-restore \"$@\"
";

#[test]
fn what_was_refused_is_looked_at_again_before_numbers_count() {
    alone("commands::what_was_refused_is_looked_at_again_before_numbers_count", |machine| {
        load_iptables("nft");
        let before = filter("nft");
        cluster("iptables", true, "");
        ringfence(&format!("apply {CONFIG} --backend nft")).ended(1).says("SHADOWED");
        machine.assert_through("after apply");
        fs::create_dir("/run/bin").unwrap();
        for name in ["iptables-nft-restore", "iptables-restore"] {
            fs::write(format!("/run/bin/{name}"), REFUSING).unwrap();
        }
        shell("chmod +x /run/bin/*");
        let bin = env!("CARGO_BIN_EXE_ringfence");
        let said = shell(&format!("PATH=/run/bin:$PATH {bin} remove --state-dir {STATE}"));
        assert!(fs::exists("/run/refused").unwrap() && said.contains("removed"), "{said}");
        let after = filter("nft");
        let rule = "-A INPUT -s 192.0.2.77/32 -j DROP\n";
        assert_eq!(after.matches(rule).count(), 1, "{after}");
        assert_eq!(after.replace(rule, ""), before);
    });
}

/// What somebody asks at three in the morning is what happens now, and not what a file wants.
#[test]
fn explain_without_a_file_is_what_the_kernel_does() {
    alone("commands::explain_without_a_file_is_what_the_kernel_does", |_machine| {
        load_nftables();
        cluster("none", false, "");
        shell(&format!("mkdir -p /etc/ringfence && cp {CONFIG} /etc/ringfence/cluster.toml"));
        ringfence(&format!("apply {CONFIG}")).ended(1);
        let bin = env!("CARGO_BIN_EXE_ringfence");
        let asked = "--from riak@peer0 --port http --iif eth0 --node riak@host";
        let run = |before: &str, file: &str| {
            tried(&format!("{before} {bin} explain {file} {asked} 2>&1; echo code $?")).unwrap()
        };
        let now = run("", "");
        assert!(
            now.starts_with("BLOCKED: ")
                && now.contains("by what the kernel holds now: the rule")
                && now.ends_with("code 1\n"),
            "{now}"
        );
        let file = run("", CONFIG);
        assert!(file.contains("PASSES: ") && file.contains("by the rules that the cluster file makes: "), "{file}");
        assert!(file.contains("warning: what this host's kernel holds now blocks it"), "{file}");
        // Who may not ask the kernel gets no answer of the file in its place.
        let without = run("setpriv --bounding-set -net_admin --inh-caps -net_admin", "");
        assert!(without.contains("needs root") && without.ends_with("code 2\n"), "{without}");
        assert!(!without.contains("by the rules"), "{without}");
    });
}
