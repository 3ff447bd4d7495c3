//! With the real things in a network namespace, where the kernel that runs this has them; else with the kernel's words.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::dialect::netlink::bpf::lab::{self, attach};
use crate::dialect::netlink::{Message, Writer, messages};
use crate::host::lab::{in_new_network, run};
use crate::host::links::links;
use crate::net::PortRange;

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Programs at hooks are told of all namespaces, so another test's may be among them.
fn found() -> Vec<Found> {
    let facts = look(&[PortRange::single(8098).unwrap()].into_iter().collect(), &links().unwrap());
    let of_this_test = |fact: &Fact| !matches!(fact.found, Found::HookProgram { here: false, .. });
    facts.into_iter().filter(of_this_test).map(|fact| fact.found).collect()
}

/// A program that another test starts just now holds a copy of everything for a moment.
fn settled(expected: &[Found]) {
    let begin = Instant::now();
    let mut last = found();
    while last != expected {
        assert!(begin.elapsed() < Duration::from_secs(5), "{expected:?}, not {last:?}");
        last = found();
    }
}

fn veth() {
    run("ip", &["link", "add", "b1", "type", "veth", "peer", "name", "a1"]);
    run("ip", &["address", "add", "10.9.0.1/24", "dev", "b1"]);
    run("ip", &["link", "set", "b1", "up"]);
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|one| (*one).to_owned()).collect()
}

#[test]
fn an_ordinary_host_has_nothing() {
    in_new_network(|| {
        veth();
        run("nft", &["add table inet t; add chain inet t c { type filter hook input priority 0; }"]);
        run("tc", &["qdisc", "add", "dev", "b1", "clsact"]);
        let listener = TcpListener::bind("0.0.0.0:8098").unwrap();
        let _other = TcpListener::bind("0.0.0.0:18098").unwrap();
        let _client = TcpStream::connect(("10.9.0.1", 8098)).unwrap();
        let _accepted = listener.accept().unwrap();
        settled(&[]);
    });
}

#[test]
fn xdp() {
    in_new_network(|| {
        veth();
        let link = attach(lab::XDP, index("b1"), &[]).unwrap();
        settled(&[Found::Xdp { interfaces: strings(&["b1"]) }]);
        drop(link);
        settled(&[]);
    });
}

#[test]
fn tc_before_and_behind() {
    in_new_network(|| {
        veth();
        run("tc", &["qdisc", "add", "dev", "b1", "clsact"]);
        run("tc", &["qdisc", "add", "dev", "a1", "ingress"]);
        settled(&[]);
        let filter = |words: &[&str]| {
            let all = [&["filter", "add", "dev"], words, &["bpf", "bytecode", "1,6 0 0 1"]].concat();
            run("tc", &all);
        };
        let fact = |way, interfaces: &[&str]| Found::Filters {
            way,
            kinds: strings(&["bpf"]),
            interfaces: strings(interfaces),
        };
        filter(&["a1", "parent", "ffff:"]);
        settled(&[fact(Way::In, &["a1"])]);
        filter(&["b1", "ingress"]);
        filter(&["b1", "egress"]);
        settled(&[fact(Way::In, &["a1", "b1"]), fact(Way::Out, &["b1"])]);
        run("tc", &["qdisc", "del", "dev", "b1", "clsact"]);
        settled(&[fact(Way::In, &["a1"])]);
    });
}

#[test]
fn tcx() {
    in_new_network(|| {
        veth();
        let before = match attach(lab::TCX_INGRESS, index("b1"), &[]) {
            Ok(link) => link,
            // Linux before 6.6.
            Err(_) => return,
        };
        let fact = |way| Found::Filters { way, kinds: strings(&["tcx"]), interfaces: strings(&["b1"]) };
        settled(&[fact(Way::In)]);
        let _behind = attach(lab::TCX_EGRESS, index("b1"), &[]).unwrap();
        settled(&[fact(Way::In), fact(Way::Out)]);
        drop(before);
        settled(&[fact(Way::Out)]);
    });
}

#[test]
fn a_program_that_chooses_sockets() {
    in_new_network(|| {
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        let link = attach(lab::SK_LOOKUP, own.as_raw_fd() as u32, &[]).unwrap();
        settled(&[Found::SkLookup { programs: 1 }]);
        // It is of this namespace alone.
        std::thread::scope(|scope| {
            let elsewhere = scope.spawn(|| in_new_network(|| look(&Ports::default(), &[])));
            let is_it = |fact: &Fact| matches!(fact.found, Found::SkLookup { .. });
            assert!(!elsewhere.join().unwrap().unwrap_or_default().iter().any(is_it));
        });
        drop(link);
        settled(&[]);
    });
}

#[test]
fn a_program_at_a_hook() {
    in_new_network(|| {
        // IPv6, output, before everything.
        let Ok(_link) = attach(lab::NETFILTER, 0, &[10, 3, (-777_i32).cast_unsigned(), 0]) else { return };
        let facts = look(&Ports::default(), &[]);
        let is_it = |fact: &&Fact| {
            matches!(fact.found, Found::HookProgram { family: Family::Ipv6, hook: "output", priority: -777, .. })
        };
        assert_eq!(facts.iter().filter(is_it).count(), 1, "{facts:?}");
        let message = facts.iter().find(is_it).unwrap().message();
        assert!(message.contains("hook output for IPv6 (priority -777)"), "{message}");
    });
}

#[test]
fn route_localnet() {
    in_new_network(|| {
        veth();
        fs::write("/proc/sys/net/ipv4/conf/b1/route_localnet", "1").unwrap();
        settled(&[Found::RouteLocalnet { interfaces: strings(&["b1"]) }]);
        // Without meaning there.
        fs::write("/proc/sys/net/ipv4/conf/lo/route_localnet", "1").unwrap();
        fs::write("/proc/sys/net/ipv4/conf/b1/route_localnet", "0").unwrap();
        settled(&[]);
        fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
        settled(&[Found::RouteLocalnet { interfaces: Vec::new() }]);
    });
}

#[test]
fn interfaces_of_other_namespaces() {
    in_new_network(|| {
        veth();
        let mut other = Command::new("unshare")
            .args(["-n", "sh", "-c", "echo; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        other.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let other = Running(other);
        for number in 0..4 {
            let (here, there, pid) = (format!("c{number}"), format!("d{number}"), other.0.id().to_string());
            run("ip", &["link", "add", &here, "type", "veth", "peer", "name", &there]);
            run("ip", &["link", "set", &there, "netns", &pid]);
        }
        settled(&[Found::OtherNamespaces { interfaces: strings(&["c0", "c1", "c2", "c3"]) }]);
        let message = look(&Ports::default(), &[]).iter().map(Fact::message).find(|text| text.contains("c0")).unwrap();
        assert!(message.starts_with("c0, c1, c2 and 1 more lead to other network namespaces"), "{message}");
    });
}

/// A process with these two sockets, and no others of this test.
fn process(listener: &TcpListener, client: &TcpStream) -> Running {
    let input = OwnedFd::from(listener.try_clone().unwrap());
    let output = OwnedFd::from(client.try_clone().unwrap());
    Running(Command::new("sleep").arg("60").stdin(input).stdout(output).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn local_proxies() {
    in_new_network(|| {
        veth();
        let guarded = TcpListener::bind("0.0.0.0:8098").unwrap();
        for (bind, to, is_one) in [
            ("0.0.0.0:18098", "127.0.0.1:8098", true),
            ("[::]:18098", "10.9.0.1:8098", true),
            ("127.0.0.1:18098", "127.0.0.1:8098", false),
        ] {
            let listener = TcpListener::bind(bind).unwrap();
            let client = TcpStream::connect(to).unwrap();
            let _accepted = guarded.accept().unwrap();
            let proxy = process(&listener, &client);
            // This process has the guarded port itself.
            drop((listener, client));
            let expected = Found::Proxy {
                program: "sleep".to_owned(),
                pid: proxy.0.id(),
                listens: bind.parse().unwrap(),
                to: to.parse().unwrap(),
            };
            settled(if is_one { std::slice::from_ref(&expected) } else { &[] });
        }
    });
}

/// A program of this name that has a socket of this test as its standard input.
fn called(name: &str, folder: &Path, socket: OwnedFd) -> Running {
    let program = folder.join(name);
    // A copy could still be open for writing in a process that another test starts just now.
    std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
    let mut running = Running(Command::new(program).arg("60").stdin(socket).spawn().unwrap());
    let comm = format!("/proc/{}/comm", running.0.id());
    while fs::read_to_string(&comm).unwrap().trim_end() != name {
        assert_eq!(running.0.try_wait().unwrap(), None);
    }
    running
}

/// A listener on a protected port inside, one that others reach, and a connection to the first with both of its ends.
fn between_two_programs() -> (TcpListener, TcpListener, (TcpStream, TcpStream)) {
    let guarded = TcpListener::bind("127.0.0.1:8098").unwrap();
    let listener = TcpListener::bind("0.0.0.0:2222").unwrap();
    let client = TcpStream::connect("127.0.0.1:8098").unwrap();
    let (accepted, _) = guarded.accept().unwrap();
    (guarded, listener, (client, accepted))
}

#[test]
fn one_accepts_and_another_is_connected() {
    in_new_network(|| {
        let folder = tempfile::tempdir().unwrap();
        let (guarded, listener, (client, _accepted)) = between_two_programs();
        let _accepts = called("sshd", folder.path(), listener.try_clone().unwrap().into());
        let other = called("riak", folder.path(), client.try_clone().unwrap().into());
        // What has the other end of this process's own sockets is not asked about.
        drop((listener, client));
        settled(&[]);
        let again = TcpStream::connect("127.0.0.1:8098").unwrap();
        let _accepted = guarded.accept().unwrap();
        let works = called("sshd-session", folder.path(), again.try_clone().unwrap().into());
        drop((again, other));
        let expected = Found::Proxy {
            program: "sshd-session".to_owned(),
            pid: works.0.id(),
            listens: "0.0.0.0:2222".parse().unwrap(),
            to: "127.0.0.1:8098".parse().unwrap(),
        };
        settled(&[expected]);
    });
}

#[test]
fn an_erlang_vm_of_the_same_user_is_no_proxy() {
    in_new_network(|| {
        let folder = tempfile::tempdir().unwrap();
        let (_guarded, listener, (client, _accepted)) = between_two_programs();
        let _accepts = called("beam.smp", folder.path(), listener.try_clone().unwrap().into());
        let _works = called("beam.smp-1", folder.path(), client.try_clone().unwrap().into());
        drop((listener, client));
        settled(&[]);
    });
}

#[test]
fn flowtables_of_a_kernel_that_has_them() {
    in_new_network(|| {
        veth();
        run("nft", &["add table inet t"]);
        let words = "add flowtable inet t f { hook ingress priority 0; devices = { b1 }; }";
        if !Command::new("nft").arg(words).stderr(Stdio::null()).status().unwrap().success() {
            return;
        }
        let expected = Found::Flowtable { table: "t".to_owned(), name: "f".to_owned(), interfaces: strings(&["b1"]) };
        settled(&[expected]);
    });
}

fn with_message<T>(write: impl FnOnce(&mut Writer), read: impl FnOnce(&Message<'_>) -> T) -> T {
    let mut writer = Writer::with_capacity(256);
    writer.message(7, 2, 1, |writer| {
        writer.raw(&[2, 0, 0, 0]);
        write(writer);
    });
    let bytes = writer.into_bytes();
    let message = messages(&bytes).next().unwrap().unwrap();
    read(&message)
}

#[test]
fn a_flowtable_as_the_kernel_tells_it() {
    let write = |writer: &mut Writer| {
        writer.text(1, "t");
        writer.text(2, "f");
        writer.nest(3, |writer| {
            writer.u32(1, 0);
            writer.nest(3, |writer| {
                writer.text(1, "eth0");
                writer.text(1, "eth1");
            });
        });
    };
    let expected =
        Found::Flowtable { table: "t".to_owned(), name: "f".to_owned(), interfaces: strings(&["eth0", "eth1"]) };
    assert_eq!(with_message(write, hooks::flowtable), Ok(expected));
}

#[test]
fn hooks_as_the_kernel_lists_them() {
    let hook = |function: &str, module: Option<&str>, kind: Option<u32>| {
        let write = |writer: &mut Writer| {
            writer.u32(1, 1);
            writer.u32(2, (-200_i32).cast_unsigned());
            writer.text(4, function);
            if let Some(module) = module {
                writer.text(5, module);
            }
            if let Some(kind) = kind {
                writer.nest(6, |writer| writer.u32(2, kind));
            }
        };
        with_message(write, |message| hooks::hook_of(message, Family::Ipv4, "input")).unwrap()
    };
    assert_eq!(hook("nft_do_chain_inet", Some("nf_tables"), Some(1)), None);
    assert_eq!(hook("ipv4_conntrack_in", Some("nf_conntrack"), None), None);
    assert_eq!(hook("ipv4_conntrack_in", None, None), None);
    assert_eq!(hook("iptable_filter_hook", Some("iptable_filter"), None), None);
    let program = Found::HookProgram { family: Family::Ipv4, hook: "input", priority: -200, here: true };
    assert_eq!(hook("bpf_prog_1", None, Some(2)), Some(program));
    let foreign = |function: &str, module: Option<&str>| {
        let module = module.map(str::to_owned);
        Some(Found::HookFunction { function: function.to_owned(), module, places: vec![("input", Family::Ipv4)] })
    };
    assert_eq!(hook("ipvlan_nf_input", Some("ipvlan"), None), foreign("ipvlan_nf_input", Some("ipvlan")));
    // Whose module is known is known by that, and by no name.
    assert_eq!(hook("nf_steal", Some("mine"), None), foreign("nf_steal", Some("mine")));
    assert_eq!(hook("ila_nf_input", None, None), foreign("ila_nf_input", None));
    let at = |hook, family| Found::HookFunction {
        function: "steal".to_owned(),
        module: Some("mine".to_owned()),
        places: vec![(hook, family)],
    };
    let all = hooks::one_for_each_function(vec![at("input", Family::Ipv4), at("input", Family::Ipv6)]);
    let messages: Vec<String> = all.into_iter().map(|found| Fact::new(found, "x").message()).collect();
    assert_eq!(messages.len(), 1);
    let expected = "steal (kernel module mine) stands at netfilter's hooks input for IPv4, input for IPv6, beside";
    assert!(messages.concat().starts_with(expected), "{messages:?}");
    assert!(hooks::has_list("6.1.0-50-amd64") && hooks::has_list("5.14.0") && !hooks::has_list("5.10.0-32-amd64"));
}

#[test]
fn services_of_ipvs() {
    let text = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  \
                -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
                TCP  0A140001:46B2 wlc  \n  -> 0A140002:1FA2      Masq    1      0          0\n\
                UDP  0A140001:0035 rr\nFWM  00000007 wlc \n\
                TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:1F97 rr\n";
    assert_eq!(hooks::services(text), ["10.20.0.1:18098", "mark 0x00000007", "[fd00::1]:8087"]);
    assert_eq!(hooks::services(text.split_inclusive('\n').take(3).collect::<String>().as_str()), [""; 0]);
}

#[test]
fn what_one_reason_hides_is_one_line() {
    let facts = ["a", "b", "a"].map(|what| Fact::not_looked(what, "no right", "x"));
    let other = Fact::not_looked("c", "too old", "x");
    let all = one_for_each_reason([facts.as_slice(), &[other]].concat());
    let messages: Vec<String> = all.iter().map(Fact::message).collect();
    assert_eq!(messages, ["a, b could not be looked for: no right", "c could not be looked for: too old"]);
}

#[test]
fn every_fact_is_one_line_in_words() {
    let all = [
        Found::Xdp { interfaces: strings(&["eth0"]) },
        Found::Filters { way: Way::Out, kinds: strings(&["bpf", "flower"]), interfaces: strings(&["eth0", "eth1"]) },
        Found::Ipvs { services: strings(&["10.20.0.1:18098"]) },
        Found::RouteLocalnet { interfaces: Vec::new() },
        Found::SkLookup { programs: 2 },
        Found::OtherNamespaces { interfaces: strings(&["veth0"]) },
        Found::NotLooked { what: vec!["flowtables", "hooks"], why: "no right".to_owned() },
    ];
    for found in all {
        let fact = Fact::new(found, "a request");
        let message = fact.message();
        assert!(!message.contains('\n') && !message.ends_with('.') && message.len() < 260, "{message}");
        assert!(!message.contains("  "), "{message}");
    }
}
