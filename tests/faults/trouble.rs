//! A machine that is not as it should be: no room, no rights, no nf_tables, files that somebody else has changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Stdio;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::machine::{FEW_PORTS, Machine, PROGRAM, Ran, WAY, cluster};
use crate::lab::backend::Backend;
use crate::lab::netns::{attempt_anywhere, ip, not_possible, run};
use crate::on_a_machine;

/// Puts the state folder on a disk of this many bytes, for this thread and its children alone.
fn small_disk(machine: &Machine, bytes: usize) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
    let state = machine.path("state");
    fs::create_dir_all(&state).unwrap();
    let options = format!("size={bytes},mode=0750");
    mount(Some("tmpfs"), &state, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
}

/// Leaves no more than so many pages on that disk.
fn fill(machine: &Machine, pages: usize) {
    let rest = machine.path("state/filler");
    let _ = fs::remove_file(&rest);
    let mut filler = Vec::new();
    loop {
        filler.resize(filler.len() + 4096, 0);
        if fs::write(&rest, &filler).is_err() {
            break;
        }
    }
    let room = filler.len() / 4096 - 1;
    fs::write(&rest, vec![0; room.saturating_sub(pages) * 4096]).unwrap();
}

/// A cluster file with so many nodes.
fn many(nodes: u32) -> String {
    let nodes: Vec<String> =
        (0..nodes).map(|n| format!("10.{}.{}.{}", 21 + n / 62500, n / 250 % 250, n % 250 + 1)).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    cluster(&nodes, FEW_PORTS).replace("10.20.0.0/24", "10.0.0.0/8")
}

fn can_be_nobody() -> bool {
    let able = attempt_anywhere(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true"], "");
    able.map_err(|error| not_possible("being nobody", &error)).is_ok()
}

on_a_machine! {
    fn a_full_disk_leaves_the_old_rules_in_force(machine) {
        small_disk(machine, 256 << 10);
        machine.ringfence("apply old.toml").ended(0);
        let mut full = 0;
        for pages in 0..24 {
            fill(machine, pages);
            for apply in ["apply rules.toml", "apply --confirm-within 60s rules.toml"] {
                let ran = machine.ringfence(apply);
                let now = machine.in_force(&["old.toml", "rules.toml"]);
                machine.guards();
                if ran.code == Some(0) {
                    assert_eq!(now, "rules.toml", "{pages} pages: {ran:#?}");
                } else {
                    full += 1;
                    assert_eq!(now, "old.toml", "{pages} pages: {ran:#?}");
                    assert!(!machine.waits(), "{pages} pages: {ran:#?}");
                    ran.ended(2).says("no space is left");
                }
                if machine.waits() {
                    machine.ringfence("rollback").ended(0);
                }
                fs::remove_file(machine.path("state/filler")).unwrap();
                machine.ringfence("apply old.toml").ended(0);
                fill(machine, pages);
            }
        }
        assert!(full > 4, "the disk was never full");
        fs::remove_file(machine.path("state/filler")).unwrap();
        machine.ringfence("apply rules.toml").ended(0);
        machine.ringfence("status").ended(0).says("enforced");
    }

    fn a_full_disk_does_not_keep_the_rules_away_at_boot(machine) {
        small_disk(machine, 256 << 10);
        machine.ringfence("apply old.toml").ended(0);
        for pages in [0, 1, 3, 5] {
            fill(machine, pages);
            run(&["nft", "flush", "ruleset"], "");
            machine.ringfence("apply --boot members.toml");
            assert!(machine.proves("members.toml"), "{pages}");
            machine.guards();
            fs::remove_file(machine.path("state/filler")).unwrap();
        }
    }

    fn state_that_others_could_have_written_is_refused_and_nothing_changes(machine) {
        machine.ringfence("apply old.toml").ended(0);
        let state = machine.path("state");
        let record = || state.join("good");
        let (mode_of, set) = (|path: &std::path::Path| fs::metadata(path).unwrap().permissions(), fs::set_permissions);
        for path in [&state, &state.join("run")] {
            let mode = mode_of(path);
            set(path, Permissions::from_mode(0o770)).unwrap();
            machine.ringfence("apply rules.toml").ended(2).says("may be written by others");
            set(path, mode).unwrap();
            assert_eq!(machine.in_force(&["old.toml", "rules.toml"]), "old.toml");
        }
        if chown(record(), Some(1234), None).is_ok() {
            machine.ringfence("status old.toml").says("belongs to user 1234");
            chown(record(), Some(0), None).unwrap();
        }
        // What was applied last is only a memory: that it is broken is no reason to leave the rules as they are.
        for broken in ["", "{", "# ringfence 1 sha256 00\n{}"] {
            fs::write(record(), broken).unwrap();
            machine.ringfence("status old.toml").ended(0).says("state/good");
            machine.ringfence("apply rules.toml").ended(0);
            machine.guards();
            assert!(machine.proves("rules.toml"));
            machine.ringfence("apply old.toml").ended(0);
        }
    }

    fn without_rights_nothing_is_changed_and_that_is_said(machine) {
        if !can_be_nobody() {
            return;
        }
        machine.ringfence("apply old.toml").ended(0);
        let open = |path: &std::path::Path| fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        open(&machine.path(""));
        // The build's folder may be closed to others.
        let program = machine.path("ringfence");
        fs::copy(PROGRAM, &program).unwrap();
        open(&program);
        let before = machine.table();
        let nobody = |arguments: &str| -> Ran {
            let options = ["--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned);
            let before = [&options[..], &[program.display().to_string()]].concat();
            machine.command("setpriv", &before, arguments).output().unwrap().into()
        };
        for command in ["apply rules.toml", "status old.toml", "remove", "confirm", "rollback", "apply --boot rules.toml"] {
            let ran = nobody(command).ended(2);
            assert!(ran.err.contains("root") || ran.err.contains("ermission denied"), "{ran:#?}");
            assert_eq!(machine.table(), before, "{command}");
        }
        // A state folder of one's own helps nobody.
        fs::rename(machine.path("state"), machine.path("kept")).unwrap();
        fs::create_dir(machine.path("state")).unwrap();
        chown(machine.path("state"), Some(65534), Some(65534)).unwrap();
        fs::set_permissions(machine.path("state"), Permissions::from_mode(0o750)).unwrap();
        for command in
            ["apply rules.toml", "apply --confirm-within 5s rules.toml", "status old.toml", "diff rules.toml", "remove"]
        {
            nobody(command).ended(2).says("needs root");
            assert_eq!(machine.table(), before, "{command}");
        }
        assert!(!machine.waits());
    }

    fn a_kernel_without_nf_tables_gets_rules_of_iptables(machine) {
        // The program's own sockets, behind those that ask for interfaces, routes, sources and tunnels; the tools that it
        // starts are left alone.
        let without = ["-e", "trace=socket", "-e", "inject=socket:error=EPROTONOSUPPORT:when=5+"];
        machine.strace(&without, "apply --backend nft old.toml").ended(2).says("no nf_tables").says("--backend iptables");
        machine.ringfence("status old.toml").ended(4);
        for (variant, backend) in [("nft", Backend::IptablesNft), ("legacy", Backend::IptablesLegacy)] {
            if !backend.is_here("iptables") {
                return;
            }
            let path = super::beside::path_with_tools(machine, variant);
            let before = [&["-qq", "-o", "/dev/null"], &without[..], &["--", PROGRAM]].concat();
            let before: Vec<String> = before.into_iter().map(str::to_owned).collect();
            let mut command = machine.command("strace", &before, "apply old.toml");
            let ran: Ran = command.env("PATH", path).output().unwrap().into();
            // Whatever `iptables` is: without nf_tables it is the old tools that can do anything. Nor does anybody tell of routes here,
            // so what others do cannot be judged, and is not taken for harmless.
            let _ = if Backend::IptablesLegacy.is_here("iptables") {
                ran.ended(3).says("(iptables)").says("UNDECIDED")
            } else {
                ran.ended(2).says("`iptables` is iptables-nft here, and this kernel has no nf_tables")
            };
        }
        machine.guards();
        machine.ringfence("status").ended(0).says("(iptables)");
        machine.ringfence("remove").ended(0);
    }

    fn in_a_user_namespace_small_clusters_work_and_large_ones_work_or_say_why(machine) {
        machine.write("big.toml", &many(100_000));
        fs::set_permissions(machine.path(""), Permissions::from_mode(0o755)).unwrap();
        let here = ["--user", "--map-root-user", "--net", "--"];
        if let Err(error) = attempt_anywhere(&[&["unshare"], &here[..], &["true"]].concat(), "") {
            return not_possible("a user namespace", &error);
        }
        let script = "f() { echo \"== $1\"; shift; \"$@\"; echo \"code $?\"; }; ip link set lo up; \
            ip link add eth1 type veth peer name w-eth1; ip addr add 10.20.0.1/32 dev eth1; \
            p=$0; old=$1; big=$2; shift 2; \
            root=${old%/*}/root; \
            f small \"$p\" apply \"$old\" --root \"$root\" \"$@\"; f big \"$p\" apply \"$big\" --root \"$root\" \"$@\"; f status \"$p\" status --full \"$old\" \"$@\"";
        let before = [&["--user", "--map-root-user", "--net", "--", "sh", "-c", script, PROGRAM].map(str::to_owned)[..]].concat();
        let mut command = machine.command("unshare", &before, "old.toml big.toml");
        let ran: Ran = command.stdin(Stdio::null()).output().unwrap().into();
        let parts: Vec<&str> = ran.out.split("== ").collect();
        assert!(parts[1].contains("in force for") && parts[1].contains("code 0"), "{ran:#?}");
        // Whether it is too large depends on a sysctl of the machine (net.core.wmem_max).
        if parts[2].contains("code 0") {
            return assert!(parts[3].contains("code 6"), "{ran:#?}");
        }
        assert!(parts[2].contains("code 2") && parts[3].contains("code 0"), "{ran:#?}");
        ran.says("this process may send no more than").says("nothing was changed");
    }

    fn a_change_that_the_kernel_finds_too_large_is_said_and_nothing_changes(machine) {
        machine.write("big.toml", &many(30_000));
        machine.ringfence("apply old.toml").ended(0);
        let before = machine.table();
        // The buffer that is asked for is not given.
        let small = ["-e", "trace=setsockopt", "-e", "inject=setsockopt:retval=0"];
        for apply in ["apply big.toml", "apply --confirm-within 60s big.toml"] {
            let ran = machine.strace(&small, apply).ended(2);
            let ran = ran.says("this process may send no more than").says("net.core.wmem_max").says("nothing was changed");
            assert!(!machine.waits(), "{ran:#?}");
            assert_eq!(machine.table(), before);
        }
        machine.guards();
        machine.strace(&small, "apply members.toml").ended(0);
    }

    fn what_would_hurt_is_refused_unless_it_is_asked_for(machine) {
        let refuse = |ran: Ran, words: &str| ran.ended(1).says(words).says("nothing was changed");
        let absent = || machine.ringfence("status old.toml").ended(4);
        // No node of the file; several.
        machine.write("others.toml", &cluster(&["10.20.0.14"], FEW_PORTS).replace("riak@10.20.0.1\"", "riak@10.20.0.31\""));
        refuse(machine.ringfence("apply others.toml"), "no node of the cluster file has an address of this host");
        for command in ["apply", "diff"] {
            machine.ringfence(&format!("{command} --node riak@nobody old.toml")).ended(2).says("error[unknown-node]: the cluster has no node");
        }
        absent();
        machine.ringfence("apply --allow no-node others.toml").ended(0).says("every node");
        machine.ringfence("remove").ended(0);
        ip("addr add 10.20.0.14/32 dev eth1\n");
        ip(&WAY.replace("10.20.0.1\n", "10.20.0.14\n"));
        refuse(machine.ringfence("apply old.toml"), "several nodes have an address of this host");
        absent();
        machine.ringfence("apply --node riak@10.20.0.14 old.toml").ended(0);
        // The node is remembered.
        machine.ringfence("apply old.toml").ended(0).says("riak@10.20.0.14");
        refuse(machine.ringfence("apply members.toml"), "this host was the node `riak@10.20.0.14`");
        assert!(machine.proves("old.toml"));
        ip("addr del 10.20.0.14/32 dev eth1\n");
        ip(WAY);
        refuse(machine.ringfence("apply old.toml"), "which it does not have; it has ");
        machine.ringfence("apply --allow foreign-address old.toml").ended(0);
        machine.ringfence("remove").ended(0);
        // Interfaces.
        let on = |name: &str| cluster(&["10.20.0.14"], FEW_PORTS) + &format!("[guard]\ninterfaces = [\"{name}\"]\n");
        machine.write("missing.toml", &on("bond7"));
        refuse(machine.ringfence("apply missing.toml"), "`bond7`, which this host does not have");
        absent();
        machine.ringfence("apply --allow missing-interface,other-interface missing.toml").ended(0);
        machine.ringfence("remove").ended(0);
        machine.write("fence.toml", &on("fence"));
        refuse(machine.ringfence("apply fence.toml"), "is on `eth1`, and peers are not admitted on that interface");
        absent();
        machine.ringfence("apply --allow other-interface fence.toml").ended(0);
        machine.ringfence("remove").ended(0);
        // The own session.
        machine.write("ssh.toml", &cluster(&["10.20.0.14"], &format!("{FEW_PORTS}\n[services.ssh]\nports = \"22\"\npeers = true")));
        let ssh = |arguments: &str, from: &str| -> Ran {
            let connection = format!("{from} 50000 10.20.0.1 22");
            machine.command(PROGRAM, &[], arguments).env("SSH_CONNECTION", connection).output().unwrap().into()
        };
        refuse(ssh("apply ssh.toml", "192.0.2.7"), "the SSH session that this runs in, from 192.0.2.7 to port 22, would be cut");
        absent();
        ssh("apply ssh.toml", "10.20.0.14").ended(0);
        machine.ringfence("remove").ended(0);
        ssh("apply --allow cut-ssh ssh.toml", "192.0.2.7").ended(0).says("(allowed)");
        ssh("apply old.toml", "192.0.2.7").ended(0);
    }
}
