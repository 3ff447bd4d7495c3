//! What takes packets at netfilter's hooks, or from them, and is no table: flowtables, IPVS, BPF programs, and functions of the
//! kernel that nobody here knows, by the kernel's own list of hooks.
//!
//! INVARIANT (the list is a cross-check): it names what the other ways to look would have to know. Linux has it from 5.14 on, where
//! it was built with it. Without it only modules from outside of the kernel's own tree are not found, so that is said where such
//! a module was ever loaded.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::libc;

use super::{Fact, Family, Found, bpf_reason, or_not_looked};
use crate::dialect::netlink::bpf::{NetfilterLink, Point, netfilter_links, programs_at};
use crate::dialect::netlink::{
    Malformed, Message, Protocol, RequestError, Socket, Writer, attributes, find, text_of, u32_of,
};

/// linux/netfilter/nfnetlink.h, nf_tables.h and nfnetlink_hook.h.
const GETFLOWTABLE: u16 = 10 << 8 | 23;
const NFTA_FLOWTABLE_TABLE: u16 = 1;
const NFTA_FLOWTABLE_NAME: u16 = 2;
const NFTA_FLOWTABLE_HOOK: u16 = 3;
const NFTA_FLOWTABLE_HOOK_DEVS: u16 = 3;
const HOOK_GET: u16 = 12 << 8;
const NFNLA_HOOK_HOOKNUM: u16 = 1;
const NFNLA_HOOK_PRIORITY: u16 = 2;
const NFNLA_HOOK_FUNCTION_NAME: u16 = 4;
const NFNLA_HOOK_MODULE_NAME: u16 = 5;
const NFNLA_HOOK_CHAIN_INFO: u16 = 6;
const NFNLA_HOOK_INFO_TYPE: u16 = 2;
const TYPE_NFTABLES: u32 = 1;
const TYPE_BPF: u32 = 2;
const TYPE_FLOWTABLE: u32 = 3;
/// The bytes of `struct nfgenmsg`.
const HEADER: usize = 4;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

const IPVS: &str = "/proc/thread-self/net/ip_vs";
const NAMESPACE: &str = "/proc/thread-self/ns/net";
const RELEASE: &str = "/proc/sys/kernel/osrelease";
const TAINTED: &str = "/proc/sys/kernel/tainted";
/// TAINT_OOT_MODULE (Documentation/admin-guide/tainted-kernels.rst).
const OUT_OF_TREE: u64 = 1 << 12;
const HOOK_LIST: &str = "NFNL_MSG_HOOK_GET";

/// The hooks that packets for this host and from it pass, by their numbers (linux/netfilter.h).
const HOOKS: [(u32, &str); 4] = [(0, "prerouting"), (1, "input"), (3, "output"), (4, "postrouting")];

/// Modules of the kernel's own that are read elsewhere, or that let every packet be what and where it is as long as no table
/// says otherwise.
const KNOWN_MODULES: [&str; 17] = [
    "nf_tables",
    "nf_conntrack",
    "nf_defrag_ipv4",
    "nf_defrag_ipv6",
    "nf_nat",
    "nf_synproxy_core",
    "ip_tables",
    "ip6_tables",
    "iptable_filter",
    "iptable_mangle",
    "iptable_nat",
    "iptable_raw",
    "iptable_security",
    "br_netfilter",
    // Its services are named by themselves.
    "ip_vs",
    "selinux",
    "apparmor",
];

/// The same where they are no modules, and of those that have too many names.
const KNOWN_FUNCTIONS: [&str; 18] = [
    "nf_",
    "nft_",
    "ipv4_conntrack_",
    "ipv6_conntrack_",
    "ipv4_confirm",
    "ipv6_confirm",
    "ipv6_defrag",
    "ipv4_synproxy_",
    "ipv6_synproxy_",
    "ipt_do_table",
    "ip6t_do_table",
    "iptable_",
    "ip6table_",
    "ip_sabotage_in",
    "ip_vs_",
    "selinux_",
    "apparmor_",
    "smack_",
];

pub fn look(facts: &mut Vec<Fact>) {
    if let Some(found) = or_not_looked(flowtables(), "flowtables", "NFT_MSG_GETFLOWTABLE", facts) {
        facts.extend(found.into_iter().map(|found| Fact::new(found, "NFT_MSG_GETFLOWTABLE")));
    }
    ipvs(facts);
    match File::open(NAMESPACE).map_err(|_| Errno::ENOENT).and_then(|own| programs_at(Point::SkLookup(own.as_fd()))) {
        Ok(0) => {}
        Ok(programs) => facts.push(Fact::new(Found::SkLookup { programs }, "BPF_PROG_QUERY")),
        Err(errno) => {
            facts.push(Fact::not_looked(
                "BPF programs that choose sockets (sk_lookup)",
                bpf_reason(errno),
                "BPF_PROG_QUERY",
            ));
        }
    }
    match or_not_looked(hooks(), "functions at netfilter's hooks", HOOK_LIST, facts) {
        Some(Some(found)) => facts.extend(found.into_iter().map(|found| Fact::new(found, HOOK_LIST))),
        Some(None) => without_list(facts),
        None => {}
    }
}

/// What is left to look at where the kernel has no list of its hooks.
fn without_list(facts: &mut Vec<Fact>) {
    match netfilter_links() {
        Ok(found) => {
            let program = |link| Some(Fact::new(program(link)?, "BPF_LINK_GET_NEXT_ID"));
            facts.extend(found.into_iter().filter_map(program));
        }
        Err(errno) => {
            let what = "BPF programs at netfilter's hooks";
            facts.push(Fact::not_looked(what, bpf_reason(errno), "BPF_LINK_GET_NEXT_ID"));
        }
    }
    let tainted = fs::read_to_string(TAINTED).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if tainted.is_none_or(|bits| bits & OUT_OF_TREE != 0) {
        let why = "this kernel does not list them, and has had modules from outside of its tree";
        facts.push(Fact::not_looked("functions at netfilter's hooks", why, HOOK_LIST));
    }
}

fn program(link: NetfilterLink) -> Option<Found> {
    let family = [(NFPROTO_IPV4, Family::Ipv4), (NFPROTO_IPV6, Family::Ipv6)];
    let (_, family) = family.into_iter().find(|(number, _)| u32::from(*number) == link.family)?;
    let (_, hook) = HOOKS.into_iter().find(|(number, _)| *number == link.hook)?;
    Some(Found::HookProgram { family, hook, priority: link.priority, here: false })
}

fn flowtables() -> Result<Vec<Found>, RequestError> {
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let mut found = Vec::new();
    let answer = dump(
        &mut socket,
        GETFLOWTABLE,
        0,
        |_| {},
        |message| {
            found.push(flowtable(message)?);
            Ok(())
        },
    );
    if_known(answer)?;
    Ok(found)
}

/// A kernel that does not know a request has nothing that it would tell of.
fn if_known(answer: Result<(), RequestError>) -> Result<Option<()>, RequestError> {
    match answer {
        Ok(()) => Ok(Some(())),
        Err(RequestError::Refused(refusal)) if matches!(refusal.errno, Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn flowtable(message: &Message<'_>) -> Result<Found, Malformed> {
    let (mut table, mut name, mut interfaces) = (String::new(), String::new(), Vec::new());
    for attribute in attributes(message.payload.get(HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (NFTA_FLOWTABLE_TABLE, value) => table = text_of(value),
            (NFTA_FLOWTABLE_NAME, value) => name = text_of(value),
            (NFTA_FLOWTABLE_HOOK, value) => {
                let devices = find(value, NFTA_FLOWTABLE_HOOK_DEVS)?.unwrap_or_default();
                for device in attributes(devices) {
                    interfaces.push(text_of(device?.1));
                }
            }
            _ => {}
        }
    }
    Ok(Found::Flowtable { table, name, interfaces })
}

/// `None` where the kernel has no list.
fn hooks() -> Result<Option<Vec<Found>>, RequestError> {
    if fs::read_to_string(RELEASE).is_ok_and(|release| !has_list(&release)) {
        return Ok(None);
    }
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let mut found = Vec::new();
    for (number, family) in [(NFPROTO_IPV4, Family::Ipv4), (NFPROTO_IPV6, Family::Ipv6)] {
        for (hook, name) in HOOKS {
            let asked = |writer: &mut Writer| writer.u32(NFNLA_HOOK_HOOKNUM, hook);
            let answer = dump(&mut socket, HOOK_GET, number, asked, |message| {
                found.extend(hook_of(message, family, name)?);
                Ok(())
            });
            if if_known(answer)?.is_none() {
                return Ok(None);
            }
        }
    }
    Ok(Some(one_for_each_function(found)))
}

/// A function is at several hooks of both families, and that is one line.
pub(super) fn one_for_each_function(found: Vec<Found>) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for one in found {
        let Found::HookFunction { function, module, places } = &one else {
            all.push(one);
            continue;
        };
        let same = all.iter_mut().find_map(|other| match other {
            Found::HookFunction { function: known, module: of, places } if known == function && of == module => {
                Some(places)
            }
            _ => None,
        });
        match same {
            Some(known) => known.extend(places),
            None => all.push(one),
        }
    }
    all
}

/// From 5.14 on. Asking an older one would have it look for a module each time.
pub(super) fn has_list(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()) >= (5, 14)
}

pub(super) fn hook_of(message: &Message<'_>, family: Family, hook: &'static str) -> Result<Option<Found>, Malformed> {
    let (mut kind, mut priority, mut function, mut module) = (None, 0, String::new(), None);
    for attribute in attributes(message.payload.get(HEADER..).ok_or(Malformed)?) {
        match attribute? {
            (NFNLA_HOOK_PRIORITY, value) => priority = u32_of(value)?.cast_signed(),
            (NFNLA_HOOK_FUNCTION_NAME, value) => function = text_of(value),
            (NFNLA_HOOK_MODULE_NAME, value) => module = Some(text_of(value)),
            (NFNLA_HOOK_CHAIN_INFO, value) => kind = find(value, NFNLA_HOOK_INFO_TYPE)?.map(u32_of).transpose()?,
            _ => {}
        }
    }
    Ok(match kind {
        Some(TYPE_NFTABLES | TYPE_FLOWTABLE) => None,
        Some(TYPE_BPF) => Some(Found::HookProgram { family, hook, priority, here: true }),
        _ if is_known(&function, module.as_deref()) => None,
        _ => Some(Found::HookFunction { function, module, places: vec![(hook, family)] }),
    })
}

fn is_known(function: &str, module: Option<&str>) -> bool {
    match module {
        Some(module) => KNOWN_MODULES.contains(&module) || module.starts_with("ip6table_"),
        None => KNOWN_FUNCTIONS.iter().any(|known| function.starts_with(known)),
    }
}

fn dump(
    socket: &mut Socket,
    kind: u16,
    family: u8,
    write: impl FnOnce(&mut Writer),
    mut each: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
) -> Result<(), RequestError> {
    let request = |sequence| {
        let mut writer = Writer::with_capacity(64);
        writer.message(kind, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16, sequence, |writer| {
            writer.raw(&[family, 0, 0, 0]);
            write(writer);
        });
        writer.into_bytes()
    };
    socket.dump(request, |message| Ok::<_, RequestError>(each(&message)?))
}

fn ipvs(facts: &mut Vec<Fact>) {
    match fs::read_to_string(IPVS) {
        Ok(text) => {
            let services = services(&text);
            if !services.is_empty() {
                facts.push(Fact::new(Found::Ipvs { services }, IPVS));
            }
        }
        // The module is not loaded.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => facts.push(Fact::not_looked("services of IPVS", error.to_string(), IPVS)),
    }
}

/// Those that take TCP: by address and port, or whatever has a mark.
pub(super) fn services(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            match (words.next()?, words.next()?) {
                ("TCP", place) => Some(address(place).map_or_else(|| place.to_owned(), |place| place.to_string())),
                ("FWM", mark) => Some(format!("mark 0x{mark}")),
                _ => None,
            }
        })
        .collect()
}

/// `C0A80001:0050`, or an IPv6 address in brackets.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let inside = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    Some(match inside {
        Some(v6) => SocketAddr::new(v6.parse::<Ipv6Addr>().ok()?.into(), port),
        None => SocketAddr::new(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into(), port),
    })
}
