//! What stands beside our rules: reserved ports, rules of others, iptables, the start of the machine, open sessions, and
//! what is remembered of the last look.

use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::machine::{COMES, LEAVES, Machine, Ran, STAYS, STRANGER};
use crate::lab::backend::{Backend, foreign, plant_foreign};
use crate::lab::netns::{attempt, ip, run, sysctl};
use crate::lab::rules::{FREE, GUARDED};
use crate::lab::server::{BANNER, Server, connect_from, echo, expect};
use crate::lab::{HOST4, PATIENCE};
use crate::on_a_machine;

const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
const OURS: &str = "4369,6000-6009,8087,8098-8099";

fn reserved() -> String {
    // In one call: the kernel gives what fits into it and says that this was all.
    let mut text = [0; 4096];
    let length = fs::File::open("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap().read(&mut text).unwrap();
    String::from_utf8_lossy(&text[..length]).trim().to_owned()
}

fn without_tables(machine: &Machine) {
    let _ = attempt(&["nft", "delete", "table", "inet", "ringfence"], "");
    machine.ringfence("status old.toml").ended(4);
}

/// Whether a program on the host itself gets through.
fn loopback_works() -> bool {
    let mut words = [0; BANNER.len()];
    let found = std::net::TcpStream::connect(("127.0.0.1", GUARDED));
    found.is_ok_and(|mut stream| stream.read_exact(&mut words).is_ok() && words == BANNER)
}

/// Both of the tools' ways into the kernel: the program takes the one that the names without an ending lead to.
fn with_tools(machine: &Machine, variant: &str) -> impl Fn(&str) -> Ran {
    let path = path_with_tools(machine, variant);
    move |arguments| {
        let mut command = machine.command(super::machine::PROGRAM, &[], arguments);
        command.env("PATH", &path).output().unwrap().into()
    }
}

/// A `PATH` on which the names without an ending lead to one of them.
pub fn path_with_tools(machine: &Machine, variant: &str) -> String {
    let folder = machine.path("tools");
    fs::create_dir_all(&folder).unwrap();
    for family in ["iptables", "ip6tables"] {
        for action in ["", "-save", "-restore"] {
            let name = folder.join(format!("{family}{action}"));
            let target = run(&["sh", "-c", &format!("command -v {family}-{variant}{action}")], "");
            let _ = fs::remove_file(&name);
            std::os::unix::fs::symlink(target.trim(), name).unwrap();
        }
    }
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

fn the_whole_life_with_iptables(machine: &Machine, variant: &str, backend: Backend) {
    if !backend.is_here("iptables") {
        return;
    }
    plant_foreign();
    let before = foreign();
    let ringfence = with_tools(machine, variant);
    ringfence("status --backend iptables old.toml").ended(4);
    ringfence("apply --backend iptables old.toml").ended(0).says("(iptables)");
    ringfence("status").ended(0).says("(iptables)");
    assert!(backend.jumps() > 0, "the rules are in the other variant");
    machine.guards();
    assert!(machine.answers(LEAVES, GUARDED) && !machine.answers(COMES, GUARDED));
    ringfence("diff --backend iptables members.toml").ended(1).says("10.20.0.15");
    ringfence("apply --backend iptables old.toml").ended(0).says("nothing had to be changed");
    ringfence("apply --backend iptables --confirm-within 60s members.toml").ended(0);
    assert!(!machine.answers(LEAVES, GUARDED) && machine.answers(COMES, GUARDED));
    ringfence("rollback").ended(0);
    ringfence("status old.toml").ended(0);
    ringfence("apply --backend iptables --confirm-within 1s rules.toml").ended(0);
    machine.until_nothing_waits();
    ringfence("status old.toml").ended(0);
    machine.guards();
    ringfence("apply --backend iptables --confirm-within 60s rules.toml").ended(0);
    ringfence("confirm").ended(0);
    ringfence("status").ended(0).says("rules.toml");
    machine.guards();
    assert_eq!(foreign(), before);
    ringfence("remove").ended(0).says("removed");
    ringfence("status --backend iptables old.toml").ended(4);
    assert!(machine.answers(STRANGER, GUARDED));
    assert_eq!(foreign(), before);
}

/// What Ansible's module makes of a document: whether the rules are as they are to be. Of Ansible itself it takes nothing.
fn is_fine_to_ansible(document: &str) -> bool {
    let script = "import importlib.util, json, sys, types\n\
        for name in ['ansible', 'ansible.module_utils', 'ansible.module_utils.basic', 'ansible_collections', 'ansible_collections.ringfence', \
        'ansible_collections.ringfence.cluster', 'ansible_collections.ringfence.cluster.plugins', \
        'ansible_collections.ringfence.cluster.plugins.module_utils', 'ansible_collections.ringfence.cluster.plugins.module_utils.program']:\n\
        \x20   sys.modules[name] = types.ModuleType(name)\n\
        sys.modules['ansible.module_utils.basic'].AnsibleModule = None\n\
        for name in ['COMMON', 'Program', 'read_text']:\n\
        \x20   setattr(sys.modules['ansible_collections.ringfence.cluster.plugins.module_utils.program'], name, None)\n\
        spec = importlib.util.spec_from_file_location('ringfence', sys.argv[1])\n\
        module = importlib.util.module_from_spec(spec)\n\
        spec.loader.exec_module(module)\n\
        print(module.is_fine(types.SimpleNamespace(params=dict(accept=[])), json.load(sys.stdin)))\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/ansible/plugins/modules/ringfence.py");
    match run(&["python3", "-c", script, path], document).trim() {
        "True" => true,
        "False" => false,
        other => panic!("{other}"),
    }
}

on_a_machine! {
    /// The rules of the other back end stay until the confirmation, and shut out whom they do not know: that is no reason not to confirm.
    fn a_move_between_back_ends_is_fine_once_it_is_confirmed(machine) {
        if !Backend::IptablesNft.is_here("iptables") {
            return;
        }
        machine.ringfence("apply --backend iptables old.toml").ended(0);
        let waits = machine.ringfence("apply --backend nft --confirm-within 60s --json members.toml").ended(1);
        let status = machine.ringfence("status --json").ended(1);
        for document in [&waits, &status] {
            assert!(document.out.contains("\"state\": \"shadowed\""), "{document:#?}");
            assert!(document.out.contains("\"state_once_confirmed\": \"enforced\""), "{document:#?}");
            assert!(is_fine_to_ansible(&document.out), "{document:#?}");
        }
        assert!(!machine.answers(COMES, GUARDED));
        // Whoever is shut out by somebody else is so behind it, too.
        run(&["nft", "add table inet other; add chain inet other in { type filter hook input priority 0; policy accept; }; \
            add rule inet other in tcp dport 4369 drop"], "");
        let status = machine.ringfence("status --json").ended(1);
        assert!(status.out.contains("\"state_once_confirmed\": \"shadowed\"") && !is_fine_to_ansible(&status.out), "{status:#?}");
        run(&["nft", "delete", "table", "inet", "other"], "");
        let confirmed = machine.ringfence("confirm --json").ended(0);
        assert!(is_fine_to_ansible(&confirmed.out) && !confirmed.out.contains("once_confirmed"), "{confirmed:#?}");
        assert!(machine.answers(COMES, GUARDED));
        let status = machine.ringfence("status --json").ended(0);
        assert!(!status.out.contains("once_confirmed"), "{status:#?}");
    }

    fn ports_of_others_stay_reserved_and_ours_come_and_go(machine) {
        sysctl(RESERVED, "7000-7001,8098");
        let conf = machine.path("root/etc/sysctl.d/60-ringfence.conf");
        machine.ringfence("apply old.toml").ended(0);
        assert_eq!(reserved(), "4369,6000-6009,7000-7001,8087,8098-8099");
        assert!(fs::read_to_string(&conf).unwrap().contains(OURS));
        machine.ringfence("apply rules.toml").ended(0);
        assert_eq!(reserved(), "4369,6000-6019,7000-7001,8087,8098-8099");
        // Somebody takes one more meanwhile.
        sysctl(RESERVED, "4369,6000-6019,7000-7002,8087,8098-8099");
        machine.ringfence("apply old.toml").ended(0);
        assert_eq!(reserved(), "4369,6000-6009,7000-7002,8087,8098-8099");
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        machine.ringfence("rollback").ended(0);
        assert_eq!(reserved(), "4369,6000-6009,7000-7002,8087,8098-8099");
        machine.ringfence("status").ended(0).says("reserved ports are in force");
        sysctl(RESERVED, "7000-7002,8098");
        machine.ringfence("status").ended(0).says("are protected but not reserved");
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("remove").ended(0);
        // 8098 was there before us.
        assert_eq!(reserved(), "7000-7002,8098");
        assert!(!conf.exists());
    }

    fn files_of_others_that_set_the_reserved_ports_are_named(machine) {
        let of_the_machine = || fs::metadata("/etc/sysctl.d/60-ringfence.conf").and_then(|file| file.modified()).ok();
        let untouched = of_the_machine();
        machine.write("root/etc/sysctl.d/10-before.conf", &format!("{RESERVED} = 7000\n"));
        machine.write("root/etc/sysctl.d/99-after.conf", &format!("# late\n{RESERVED} = 9000\n"));
        let said = machine.ringfence("apply old.toml").ended(0);
        let said = said.says("10-before.conf:1 also sets the reserved ports").says("99-after.conf:2 also sets the reserved ports");
        assert!(said.err.contains("is read last at boot: add"), "{said:?}");
        let conf = fs::read_to_string(machine.path("root/etc/sysctl.d/60-ringfence.conf")).unwrap();
        assert!(conf.contains("7000"), "{conf}");
        assert_eq!(of_the_machine(), untouched);
        machine.ringfence("remove").ended(0);
        assert_eq!(fs::read_to_string(machine.path("root/etc/sysctl.d/10-before.conf")).unwrap(), format!("{RESERVED} = 7000\n"));
    }

    fn removing_leaves_everything_of_others_as_it_was(machine) {
        plant_foreign();
        sysctl(RESERVED, "7000");
        let before = foreign();
        let tables = || run(&["nft", "list", "tables"], "");
        let names = tables();
        machine.ringfence("apply old.toml").ended(0).says("judged with the rules of others");
        assert_eq!(foreign(), before);
        machine.guards();
        machine.ringfence("remove").ended(0).says("removed");
        assert_eq!(foreign(), before);
        assert_eq!((tables(), reserved()), (names, "7000".to_owned()));
        machine.ringfence("status old.toml").ended(4);
        machine.ringfence("remove").ended(0).says("nothing to remove");
        assert!(!machine.path("state/good").exists());
    }

    fn iptables_legacy_has_the_whole_life_of_a_change(machine) {
        the_whole_life_with_iptables(machine, "legacy", Backend::IptablesLegacy);
    }

    fn iptables_nft_has_the_whole_life_of_a_change(machine) {
        the_whole_life_with_iptables(machine, "nft", Backend::IptablesNft);
    }

    fn at_boot_a_good_file_is_applied(machine) {
        machine.ringfence("apply --boot old.toml").ended(0);
        assert!(machine.proves("old.toml"));
        machine.guards();
    }

    fn at_boot_a_broken_file_gives_way_to_what_was_applied_last(machine) {
        machine.ringfence("apply old.toml").ended(0);
        for broken in ["nonsense", "", "[cluster]\nname = 7\n"] {
            without_tables(machine);
            machine.write("now.toml", broken);
            machine.ringfence("apply --boot now.toml").ended(7).says("warning: ").says("falling back to what was applied last");
            assert!(machine.proves("old.toml"), "{broken}");
            machine.guards();
        }
        without_tables(machine);
        machine.ringfence("apply --boot gone.toml").ended(7).says("there is no cluster file");
        assert!(machine.proves("old.toml"));
    }

    /// An answer about another file than the one that was named is a wrong one.
    fn a_file_that_is_named_and_cannot_be_used_has_no_status(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.write("broken.toml", "nonsense");
        machine.write("folder.toml/x", "");
        machine.write("empty.toml", "");
        for absent in [false, true] {
            for file in ["nowhere.toml", "broken.toml", "folder.toml", "empty.toml"] {
                for json in ["", "--json "] {
                    let seen = machine.ringfence(&format!("status {json}{file}")).ended(2);
                    assert!(!seen.err.is_empty() && seen.out.is_empty() == json.is_empty(), "{seen:#?}");
                    // A document has why, and no state.
                    assert!(!seen.out.contains("\"state\"") && !seen.out.contains("\"errors\": []"), "{seen:#?}");
                }
            }
            if !absent {
                // Without a name it is what was applied last, and says so.
                machine.write("old.toml", "nonsense");
                machine.ringfence("status").ended(0).says("as it was applied last").says("old.toml has 1 error");
                run(&["nft", "delete", "table", "inet", "ringfence"], "");
            }
        }
        machine.ringfence("status").ended(4).says("was applied for riak@10.20.0.1 from ").says("and is gone: nothing but other firewalls of this host keeps anybody out");
    }

    fn at_boot_with_nothing_usable_the_ports_are_closed_for_all_but_loopback(machine) {
        machine.write("broken.toml", "profile = \"riak\"\nnonsense");
        assert!(machine.answers(STAYS, GUARDED));
        machine.ringfence("apply --boot broken.toml").ended(7).says("closed for everyone but loopback");
        assert!(!machine.answers(STAYS, GUARDED) && !machine.answers(STRANGER, GUARDED));
        assert!(loopback_works());
        let _free = Server::start(FREE);
        assert!(machine.answers(STRANGER, FREE));
        let seen = machine.ringfence("status").ended(7).says("CLOSED: there is no cluster file");
        let seen = seen.says("then run `ringfence apply`");
        assert!(!seen.err.contains("there is no cluster file"), "it is said once: {seen:#?}");
        machine.ringfence("hook check").ended(7).says("CLOSED: ").says("then run `ringfence apply`");
        machine.ringfence("status --json").ended(7).says("\"state\": \"closed\"");
        machine.ringfence("status broken.toml").ended(2).says("error[syntax]");
        // So it is with iptables.
        without_tables(machine);
        machine.ringfence("apply --boot --backend iptables broken.toml").ended(7).says("closed for everyone");
        assert!(!machine.answers(STAYS, GUARDED) && loopback_works() && machine.answers(STRANGER, FREE));
        machine.ringfence("remove").ended(0);
        // Whoever mends the file has the usual way.
        machine.ringfence("apply old.toml").ended(0);
        machine.guards();
    }

    fn at_boot_state_that_cannot_be_read_does_not_leave_the_ports_open(machine) {
        use std::os::unix::fs::PermissionsExt as _;
        machine.ringfence("apply old.toml").ended(0);
        let state = machine.path("state");
        for folder in [state.clone(), state.join("run")] {
            without_tables(machine);
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
            machine.ringfence("apply --boot old.toml").says("may be written by others");
            machine.guards();
            machine.write("broken.toml", "nonsense");
            machine.ringfence("apply --boot broken.toml").ended(7);
            assert!(!machine.answers(STRANGER, GUARDED), "{}", machine.table());
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        }
    }

    fn at_boot_a_file_that_nobody_confirmed_is_not_used(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 1s rules.toml").ended(0);
        machine.until_nothing_waits();
        without_tables(machine);
        machine.ringfence("apply --boot rules.toml").ended(7).says("not confirmed");
        assert!(machine.proves("old.toml"));
        machine.guards();
        // Applied by somebody, it counts again.
        machine.ringfence("apply rules.toml").ended(0);
        without_tables(machine);
        machine.ringfence("apply --boot rules.toml").ended(0);
        assert!(machine.proves("rules.toml"));
    }

    fn at_boot_a_change_that_waited_when_the_machine_ended_is_not_used(machine) {
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --confirm-within 60s rules.toml").ended(0);
        // With a state folder of one's own what waits is still written down then.
        run(&["nft", "delete", "table", "inet", "ringfence"], "");
        machine.ringfence("apply --boot rules.toml").ended(7).says("not confirmed");
        assert!(machine.proves("old.toml"));
        machine.guards();
        machine.ringfence("apply members.toml").ended(0);
    }

    fn sessions_of_a_removed_peer_are_cut_and_outgoing_ones_only_if_asked(machine) {
        let (leaves, stays) = (IpAddr::from(LEAVES), IpAddr::from(STAYS));
        machine.lab.give_wire(leaves);
        machine.lab.give_wire(stays);
        let lab = &machine.lab;
        let here = lab.wire.path();
        assert!(!here.is_empty());
        // From the host to the wire, too.
        let far = lab.wire.enter(|| {
            ip("route replace 10.20.0.1/32 dev w-eth1\n");
            TcpListener::bind((leaves, 8099)).unwrap()
        });
        lab.route_from_wire("10.20.0.1".parse().unwrap(), "eth1");
        machine.ringfence("apply old.toml").ended(0);
        let connect = |from: IpAddr| {
            let mut stream = lab.wire.enter(|| connect_from(SocketAddr::new(from, 0), SocketAddr::new(HOST4, GUARDED))).unwrap();
            expect(&mut stream, BANNER);
            echo(&mut stream, b"before");
            stream
        };
        let (mut leaving, mut staying) = (connect(leaves), connect(stays));
        let mut outgoing = std::net::TcpStream::connect((leaves, 8099)).unwrap();
        outgoing.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut accepted, _) = far.accept().unwrap();
        machine.ringfence("diff members.toml").ended(1).says("open sessions into protected ports that are cut: 1");
        let ran = machine.ringfence("apply members.toml").ended(0).says("sessions that were cut: 1");
        let ran = ran.says("this host opened sessions to hosts that are no longer admitted").says("10.20.0.14:8099");
        assert!(!ran.out.contains("could not be cut"), "{ran:?}");
        // A reset, and no silence.
        let mut byte = [0];
        assert_eq!(leaving.read(&mut byte).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        echo(&mut staying, b"behind");
        std::io::Write::write_all(&mut accepted, b"x").unwrap();
        outgoing.read_exact(&mut byte).unwrap();
        // Asked for, it ends.
        machine.ringfence("apply old.toml").ended(0);
        machine.ringfence("apply --cut-outgoing members.toml").ended(0).says("sessions that were cut: 1");
        assert!(matches!(outgoing.read(&mut byte), Err(_) | Ok(0)));
        echo(&mut staying, b"still");
    }

    fn sessions_are_cut_when_a_change_is_confirmed_and_not_before(machine) {
        let leaves = IpAddr::from(LEAVES);
        machine.lab.give_wire(leaves);
        machine.ringfence("apply old.toml").ended(0);
        let to = SocketAddr::new(HOST4, GUARDED);
        let mut stream = machine.lab.wire.enter(|| connect_from(SocketAddr::new(leaves, 0), to)).unwrap();
        expect(&mut stream, BANNER);
        machine.ringfence("apply --confirm-within 60s members.toml").ended(0);
        machine.ringfence("rollback").ended(0);
        echo(&mut stream, b"still there");
        machine.ringfence("apply --confirm-within 60s members.toml").ended(0);
        machine.ringfence("confirm").ended(0).says("sessions that were cut: 1");
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }

    fn a_short_look_is_only_taken_while_nothing_has_changed(machine) {
        let short = |file: &str| {
            let ran = machine.ringfence(&format!("status --json {file}"));
            (ran.code.unwrap(), ran.out.contains("\"unchanged_since\": true"))
        };
        machine.ringfence("apply old.toml").ended(0);
        assert_eq!(short("old.toml"), (0, true));
        // Another file; the same again.
        assert_eq!(short("members.toml"), (6, false));
        assert_eq!(short("old.toml"), (0, true));
        // Somebody changes our set, and nothing is as it was.
        run(&["nft", "add", "element", "inet", "ringfence", "peers4", "{ 203.0.113.9 }"], "");
        assert_eq!(short("old.toml"), (1, false));
        assert_eq!(short("old.toml"), (1, false));
        // Taken back, it is good again, and that is seen by a complete look first.
        run(&["nft", "delete", "element", "inet", "ringfence", "peers4", "{ 203.0.113.9 }"], "");
        assert_eq!(short("old.toml"), (0, false));
        assert_eq!(short("old.toml"), (0, true));
        // Somebody changes only what is theirs.
        run(&["nft", "add", "table", "inet", "foreign"], "");
        assert_eq!(short("old.toml"), (0, false));
        // The file changes.
        let text = fs::read_to_string(machine.path("old.toml")).unwrap();
        machine.write("old.toml", &text.replace("10.20.0.14", "10.20.0.16"));
        assert_eq!(short("old.toml"), (6, false));
        machine.write("old.toml", &text);
        assert_eq!(short("old.toml"), (0, true));
        // Another network has rules of its own, or none; and the note of the one says nothing about the other.
        crate::lab::netns::Namespace::unshare_aside().enter(|| {
            ip("link set lo up\n");
            assert_eq!(short("old.toml"), (4, false));
        });
        assert_eq!(short("old.toml").0, 0);
        run(&["nft", "flush", "ruleset"], "");
        assert_eq!(short("old.toml"), (4, false));
        // The same number of changes and the same table again is no proof.
        machine.ringfence("apply old.toml").ended(0);
        assert_eq!(short("old.toml"), (0, true));
        machine.ringfence("remove").ended(0);
        assert_eq!(short("old.toml"), (4, false));
    }
}
