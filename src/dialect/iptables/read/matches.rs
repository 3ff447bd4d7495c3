//! The match modules: options → tests.

use super::modules::Kind;
use super::rule::{Draft, Module, Opt};
use super::values;
use crate::ir::{
    AddressTypes, Addresses, End, Family, Foreign, Marked, Match, PacketTypes, PortBlock, PortMatch, TcpFlags, Varying,
};
use crate::net::{PortRange, Ports};

const TCP: u8 = 6;

/// Any port, of a packet that shows one: what is true of every port is not true of a fragment without ports.
const ANY_PORT: Match = Match::PortBlock(PortBlock { first: 0, bits: 0 });

/// What the modules of a rule say.
#[derive(Debug, Default)]
pub(super) struct Tests {
    pub matches: Vec<Match>,
    pub comments: Vec<String>,
    /// One of these holds as a whole, beside the others; none where nothing is asked of that kind.
    pub either: Vec<Vec<Match>>,
}

/// The tests of all modules, in their order.
pub(super) fn tests(draft: &Draft<'_, '_>) -> Tests {
    let mut tests = Tests::default();
    for (at, module) in draft.modules.iter().enumerate() {
        Reader { draft, module, at }.read(&mut tests);
    }
    tests
}

/// One module with its options.
struct Reader<'d, 'w, 'a> {
    draft: &'d Draft<'w, 'a>,
    module: &'d Module,
    at: usize,
}

impl Reader<'_, '_, '_> {
    fn options(&self) -> impl Iterator<Item = &Opt> {
        self.draft.options.iter().filter(|option| option.module == self.at)
    }

    fn read(&self, tests: &mut Tests) {
        // Options that change what the others mean.
        let spoilt = match self.module.kind {
            None => true,
            Some(Kind::Limit) => self.options().any(|option| !option.known || option.negated),
            Some(Kind::Set) => self.options().any(|option| !option.known),
            Some(Kind::AddressType) => self.options().any(|option| self.name(option) == "--limit-iface-out"),
            Some(_) => false,
        };
        let Some(kind) = self.module.kind.filter(|_| !spoilt) else {
            return tests.matches.push(self.unknown(self.options()));
        };
        if let Some(test) = self.whole(kind) {
            return tests.matches.push(test.unwrap_or_else(|| self.unknown(self.options())));
        }
        if kind == Kind::Limit {
            // Where no number of packets a minute says it.
            return tests.matches.push(self.limit().unwrap_or_else(|| self.varies(Varying::Rate, self.options())));
        }
        if kind == Kind::State && self.options().any(|option| self.is_about_translation(option)) {
            return tests.matches.push(self.translated().unwrap_or_else(|| self.unknown(self.options())));
        }
        if kind == Kind::AddressType && self.options().any(|option| self.name(option) == "--limit-iface-in") {
            return tests.matches.push(self.address_of_interface().unwrap_or_else(|| self.unknown(self.options())));
        }
        if self.options().next().is_none() {
            // iptables refuses a module that says nothing, except those of a transport, which want to see its header.
            let nothing = if kind == Kind::Transport { ANY_PORT } else { self.unknown([]) };
            return tests.matches.push(nothing);
        }
        // iptables-nft compares both ports at once with them: it is enough that one differs. iptables-legacy wants both.
        if kind == Kind::Transport && self.is_unequal("sport") && self.is_unequal("dport") {
            return tests.matches.push(self.unknown(self.options()));
        }
        for option in self.options() {
            if kind == Kind::Comment && option.known && !option.negated {
                tests.comments.push(values::text(self.value(option, 0)));
                continue;
            }
            if tests.either.is_empty()
                && option.known
                && let Some(either) = self.either(kind, option)
            {
                tests.either = either;
                continue;
            }
            match self.test(kind, option).filter(|_| option.known) {
                Some(Test::Always) => {}
                Some(Test::Is(found)) => tests.matches.push(found),
                None => tests.matches.push(self.unknown([option])),
            }
        }
    }

    /// The test of a module whose options are one; `Some(None)` if they are not understood.
    fn whole(&self, kind: Kind) -> Option<Option<Match>> {
        let known = self.options().all(|option| option.known && !option.negated);
        match kind {
            Kind::Varies(Varying::Socket) => {
                let harmless = |option: &Opt| matches!(self.name(option), "--transparent" | "--nowildcard");
                let on = if self.options().all(harmless) { Varying::Socket } else { Varying::SocketWithMark };
                Some(Some(self.varies(on, self.options())))
            }
            Kind::Varies(on) => Some(Some(self.varies(on, self.options()))),
            Kind::WayBack => {
                let has = |name: &str| self.options().any(|option| self.name(option) == name);
                let test = Foreign::WayBack { same_interface: !has("--loose"), missing: has("--invert") };
                Some(known.then_some(Match::Foreign(test)))
            }
            Kind::ExtensionHeader => {
                let text = match self.unknown(self.options()) {
                    Match::Unknown(text) => text,
                    _ => return Some(None),
                };
                let known = self.options().all(|option| option.known) && self.draft.family == Family::Ip6;
                Some(known.then_some(Match::Foreign(Foreign::ExtensionHeader(text))))
            }
            _ => None,
        }
    }

    /// What an option says that only several rules can say: a state or a translation, or that one of several flags is
    /// another.
    fn either(&self, kind: Kind, option: &Opt) -> Option<Vec<Vec<Match>>> {
        match (kind, self.name(option)) {
            (Kind::State, "--ctstate") => {
                let list = self.value(option, 0);
                let rest: Vec<&str> = list.split(',').filter(|one| !one.eq_ignore_ascii_case("DNAT")).collect();
                if rest.is_empty() || rest.len() == list.split(',').count() {
                    return None;
                }
                let states = values::states(&rest.join(","))?;
                let state = |negated| Match::ConnectionState { states, negated };
                let translated = Match::Foreign(Foreign::Translated { end: End::Destination, negated: option.negated });
                Some(match option.negated {
                    false => vec![vec![state(false)], vec![state(true), translated]],
                    // None of them.
                    true => vec![vec![state(true), translated]],
                })
            }
            (Kind::Transport, "--tcp-flags" | "--syn") if option.negated && self.is_tcp(kind) => {
                let (mask, value) = match self.name(option) {
                    "--syn" => (TcpFlags(0x17), TcpFlags::SYN),
                    _ => (values::flags(self.value(option, 0))?, values::flags(self.value(option, 1))?),
                };
                (value.0 & !mask.0 == 0 && mask.0 != 0).then(|| other_flags(mask, value))
            }
            _ => None,
        }
    }

    fn is_about_translation(&self, option: &Opt) -> bool {
        match self.name(option) {
            "--ctstate" => self.value(option, 0).eq_ignore_ascii_case("DNAT") && self.options().count() == 2,
            name => name == "--ctorigdstport",
        }
    }

    /// `--ctstate DNAT --ctdir ORIGINAL`, or `--ctorigdstport PORTS`, and nothing else.
    fn translated(&self) -> Option<Match> {
        let options: Vec<&Opt> = self.options().collect();
        if !options.iter().all(|option| option.known && !option.negated) {
            return None;
        }
        let says = |name: &str, value: &str| {
            options.iter().any(|option| self.name(option) == name && self.value(option, 0).eq_ignore_ascii_case(value))
        };
        if options.len() == 2 && says("--ctstate", "DNAT") && says("--ctdir", "ORIGINAL") {
            return Some(Match::DestinationTranslated);
        }
        match options.as_slice() {
            [one] if self.name(one) == "--ctorigdstport" => match ports(self.value(one, 0), false)? {
                Test::Is(Match::DestinationPort { ports, negated: false }) => Some(Match::OriginalPort(ports)),
                Test::Is(_) | Test::Always => None,
            },
            _ => None,
        }
    }

    /// `--dst-type LOCAL --limit-iface-in`, and nothing else: the second changes what the first means.
    fn address_of_interface(&self) -> Option<Match> {
        let options: Vec<&Opt> = self.options().collect();
        let [one, other] = options.as_slice() else { return None };
        let plain = [one, other].iter().all(|option| option.known && !option.negated);
        let kind = if self.name(one) == "--limit-iface-in" { other } else { one };
        let local = self.name(kind) == "--dst-type" && self.value(kind, 0).eq_ignore_ascii_case("LOCAL");
        (plain && local).then_some(Match::DestinationOfInterface)
    }

    /// Whether `! --sport` or `! --dport` is there.
    fn is_unequal(&self, port: &str) -> bool {
        let long = if port == "sport" { "--source-port" } else { "--destination-port" };
        self.options().any(|option| {
            let name = self.name(option);
            option.negated && (name.strip_prefix("--") == Some(port) || name == long)
        })
    }

    fn name(&self, option: &Opt) -> &str {
        let words = self.draft.words.get(option.words.clone()).unwrap_or_default();
        words.iter().map(|word| word.text.as_ref()).find(|&text| text != "!").unwrap_or_default()
    }

    fn value(&self, option: &Opt, index: usize) -> &str {
        let at = option.words.start + usize::from(option.negated) + 1 + index;
        self.draft.words.get(at).map_or("", |word| word.text.as_ref())
    }

    fn unknown<'o>(&self, options: impl IntoIterator<Item = &'o Opt>) -> Match {
        Match::Unknown(self.text(options))
    }

    fn varies<'o>(&self, on: Varying, options: impl IntoIterator<Item = &'o Opt>) -> Match {
        Match::varies(on, &self.text(options))
    }

    /// The module with these options, as they stand there.
    fn text<'o>(&self, options: impl IntoIterator<Item = &'o Opt>) -> String {
        let mut text = self.draft.written(self.module.words.clone());
        for option in options {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&self.draft.written(option.words.clone()));
        }
        text
    }

    /// What an option says; `None` if that is more than the IR has words for.
    fn test(&self, kind: Kind, option: &Opt) -> Option<Test> {
        let (name, negated) = (self.name(option), option.negated);
        match (kind, name) {
            (Kind::Transport | Kind::Multiport, _) if !self.is_tcp(kind) => None,
            (
                Kind::Transport | Kind::Multiport,
                "--dport" | "--destination-port" | "--dports" | "--destination-ports",
            ) => ports(self.value(option, 0), negated),
            (Kind::Transport | Kind::Multiport, "--sport" | "--source-port" | "--sports" | "--source-ports") => {
                match ports(self.value(option, 0), negated)? {
                    Test::Is(Match::DestinationPort { ports, negated }) => {
                        Some(Test::Is(Match::Foreign(Foreign::SourcePort { ports, negated })))
                    }
                    any => Some(any),
                }
            }
            (Kind::Transport, "--syn") if !negated => {
                Some(Test::Is(Match::TcpFlags { mask: TcpFlags(0x17), value: TcpFlags::SYN }))
            }
            (Kind::Transport, "--tcp-flags") if !negated => {
                let (mask, value) = (values::flags(self.value(option, 0))?, values::flags(self.value(option, 1))?);
                Some(Test::Is(Match::TcpFlags { mask, value }))
            }
            (Kind::AddressType, "--dst-type" | "--src-type") => {
                let types = values::address_types(self.value(option, 0))?;
                // ip6tables looks at what kind of address it is in itself, and wants all that a list has (xt_addrtype.c).
                let plain = types == AddressTypes::LOCAL || types == AddressTypes::MULTICAST;
                if self.draft.family == Family::Ip6 && !plain {
                    return None;
                }
                if name == "--src-type" {
                    return Some(Test::Is(Match::Foreign(Foreign::SourceType { types, negated })));
                }
                let local = types == AddressTypes::LOCAL && !negated;
                let other = Match::Foreign(Foreign::DestinationType { types, negated });
                Some(Test::Is(if local { Match::DestinationLocal } else { other }))
            }
            (Kind::Mark, "--mark") => {
                let named = self.draft.words.get(self.module.words.clone()).and_then(|words| words.last());
                let of = match named.map(|word| word.text.as_ref()) {
                    Some("mark") => Marked::Packet,
                    Some("connmark") => Marked::Connection,
                    _ => return None,
                };
                let (value, mask) = values::mark(self.value(option, 0))?;
                // What is not looked at is never set.
                let met = value & !mask == 0;
                met.then_some(Test::Is(Match::Foreign(Foreign::Mark { of, mask, value, negated })))
            }
            (Kind::Fragment, "--fragfirst") if !negated => Some(Test::Is(Match::FirstFragment)),
            // Every number there is.
            (Kind::Fragment, "--fragid") if !negated && self.value(option, 0) == "0:4294967295" => {
                self.options().any(|other| self.name(other) == "--fragfirst").then_some(Test::Always)
            }
            (Kind::State, "--ctdir") => {
                let reply = match self.value(option, 0).to_ascii_uppercase().as_str() {
                    "ORIGINAL" => negated,
                    "REPLY" => !negated,
                    _ => return None,
                };
                Some(Test::Is(Match::Foreign(Foreign::Direction { reply })))
            }
            (Kind::State, name) if is_noted(name) => Some(Test::Is(self.varies(Varying::Connection, [option]))),
            (Kind::State, "--ctstate") if end_of(self.value(option, 0)).is_some() => {
                let end = end_of(self.value(option, 0))?;
                Some(Test::Is(Match::Foreign(Foreign::Translated { end, negated })))
            }
            (Kind::State, "--ctstate" | "--state") => {
                let states = values::states(self.value(option, 0))?;
                Some(Test::Is(Match::ConnectionState { states, negated }))
            }
            (Kind::PacketType, "--pkt-type") => {
                let types = PacketTypes::named(&self.value(option, 0).to_ascii_lowercase())?;
                Some(Test::Is(Match::PacketType { types, negated }))
            }
            (Kind::Range, "--src-range" | "--dst-range") => {
                let addresses = Addresses::These(values::range(self.value(option, 0), self.draft.family)?);
                Some(Test::Is(match name {
                    "--src-range" => Match::Source { addresses, negated },
                    _ => Match::Destination { addresses, negated },
                }))
            }
            // Whether it counts says nothing of whom it holds for.
            (Kind::Set, "--update-counters" | "--update-subcounters") => Some(Test::Always),
            (Kind::Set, "--match-set") => {
                let set = values::name(self.value(option, 0));
                Some(Test::Is(match values::ends(self.value(option, 1))?.as_slice() {
                    [End::Source] => Match::Source { addresses: Addresses::Set(set), negated },
                    [End::Destination] => Match::Destination { addresses: Addresses::Set(set), negated },
                    ends => Match::Foreign(Foreign::Endpoint { set, ends: ends.to_vec(), negated }),
                }))
            }
            _ => None,
        }
    }

    /// A module of TCP, in a rule for TCP. multiport wants the protocol to be named; `-m tcp` does too, in the kernel.
    fn is_tcp(&self, kind: Kind) -> bool {
        let named = self.draft.words.get(self.module.words.clone()).and_then(|words| words.last());
        let name = named.map_or("tcp", |word| word.text.as_ref());
        self.draft.protocol == Some((TCP, false)) && (kind == Kind::Multiport || name == "tcp")
    }

    fn limit(&self) -> Option<Match> {
        let find = |name: &str| self.options().filter(|option| self.name(option) == name).last();
        let per_minute = values::per_minute(self.value(find("--limit")?, 0))?;
        // The default (libxt_limit.c, XT_LIMIT_BURST), which iptables-save leaves out.
        let burst = find("--limit-burst").map_or(Some(5), |option| values::number(self.value(option, 0)))?;
        Some(Match::Limit { per_minute, burst })
    }
}

/// Whether an option asks for something else that connection tracking has noted.
fn is_noted(name: &str) -> bool {
    matches!(
        name,
        "--ctstatus"
            | "--ctexpire"
            | "--ctorigsrc"
            | "--ctorigdst"
            | "--ctreplsrc"
            | "--ctrepldst"
            | "--ctorigsrcport"
            | "--ctreplsrcport"
            | "--ctrepldstport"
    )
}

/// The end of a connection that a state of conntrack's is about.
fn end_of(state: &str) -> Option<End> {
    match state.to_ascii_uppercase().as_str() {
        "SNAT" => Some(End::Source),
        "DNAT" => Some(End::Destination),
        _ => None,
    }
}

/// The first flag of the mask is another; or the second is, and the first is not; and so on.
fn other_flags(mask: TcpFlags, value: TcpFlags) -> Vec<Vec<Match>> {
    let mut seen = 0;
    let bits = (0..8).map(|bit| 1_u8 << bit).filter(|bit| mask.0 & bit != 0);
    let one = |bit: u8| {
        seen |= bit;
        vec![Match::TcpFlags { mask: TcpFlags(seen), value: TcpFlags((value.0 ^ bit) & seen) }]
    };
    bits.map(one).collect()
}

enum Test {
    Is(Match),
    Always,
}

/// Destination ports of TCP. The IR knows no port 0: a list with it is said the other way round.
fn ports(list: &str, negated: bool) -> Option<Test> {
    let ranges = list.split(',').map(values::port_range).collect::<Option<Vec<_>>>()?;
    let zero = ranges.iter().any(|&(first, _)| first == 0);
    let ports: Ports = ranges.into_iter().filter_map(|(first, last)| PortRange::new(first.max(1), last)).collect();
    let ports = if zero { values::other_ports(&ports) } else { ports };
    let negated = negated != zero;
    match (ports.is_empty(), negated) {
        (false, _) => Some(Test::Is(Match::DestinationPort { ports: PortMatch::Ports(ports), negated })),
        (true, true) => Some(Test::Is(ANY_PORT)),
        (true, false) => None,
    }
}
