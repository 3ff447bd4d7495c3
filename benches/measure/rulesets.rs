//! Rulesets of others, as texts: ordinary ones of every size, and ones that are made to be hard.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Numbers that only look random (xorshift: Marsaglia, 2003), the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u32) -> u32 {
        ((self.bits() >> 33) as u32) % bound
    }

    pub fn address(&mut self) -> Ipv4Addr {
        Ipv4Addr::from((self.bits() >> 32) as u32)
    }

    fn range(&mut self) -> (Ipv4Addr, Ipv4Addr, u32, u32) {
        let (a, b) = (self.address(), self.address());
        let (p, q) = (self.below(65_536), self.below(65_536));
        (a.min(b), a.max(b), p.min(q), p.max(q))
    }
}

/// An input chain of nft that drops whatever `body` does not accept, behind other chains.
pub fn input(chains: &str, body: &str) -> String {
    let base = "type filter hook input priority filter; policy drop;";
    format!("table inet filter {{\n{chains} chain input {{\n  {base}\n{body} }}\n}}\n")
}

/// A host that lets each of so many sources in to one port.
pub fn source_and_port(count: u32) -> String {
    let mut random = Random::new(u64::from(count));
    let mut body = String::new();
    for _ in 0..count {
        let _ = writeln!(body, "  ip saddr {} tcp dport {} accept", random.address(), 1 + random.below(65_535));
    }
    input("", &body)
}

/// The same with verdicts of both kinds, as iptables-save writes it.
pub fn different_sources(count: u32) -> String {
    const PORTS: [u16; 6] = [22, 80, 443, 4369, 8098, 8099];
    let mut random = Random::new(u64::from(count) + 1);
    let mut text = String::from("*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n");
    for _ in 0..count {
        let port = PORTS[random.below(6) as usize];
        let verdict = ["ACCEPT", "DROP"][random.below(2) as usize];
        let _ = writeln!(text, "-A INPUT -s {}/32 -p tcp -m tcp --dport {port} -j {verdict}", random.address());
    }
    text + "COMMIT\n"
}

/// What kube-proxy keeps for so many services with three endpoints each, after the documentation of its iptables mode.
pub fn kube_proxy(services: u32) -> String {
    let mut random = Random::new(7);
    let (mut names, mut rules, mut portals) = (String::new(), String::new(), String::new());
    for service in 0..services {
        let own = format!("10.96.{}.{}", service / 250, service % 250 + 1);
        let chain = format!("KUBE-SVC-{:016X}", random.bits());
        let note = format!("-m comment --comment \"default/service-{service}:http\"");
        let _ = writeln!(names, ":{chain} - [0:0]");
        let _ = writeln!(portals, "-A KUBE-SERVICES -d {own}/32 -p tcp {note} -m tcp --dport 80 -j {chain}");
        let _ = writeln!(
            rules,
            "-A {chain} ! -s 10.244.0.0/16 -d {own}/32 -p tcp {note} -m tcp --dport 80 -j KUBE-MARK-MASQ"
        );
        for endpoint in 0..3 {
            let place = service * 3 + endpoint;
            let pod = format!("10.{}.{}.{}", 244 + place / 62_500, place / 250 % 250, place % 250 + 1);
            let target = format!("KUBE-SEP-{:016X}", random.bits());
            let share = [
                "-m statistic --mode random --probability 0.33333333349 ",
                "-m statistic --mode random --probability 0.50000000000 ",
                "",
            ][endpoint as usize];
            let _ = writeln!(names, ":{target} - [0:0]");
            let _ = writeln!(rules, "-A {chain} {note} {share}-j {target}");
            let _ = writeln!(rules, "-A {target} -s {pod}/32 {note} -j KUBE-MARK-MASQ");
            let _ = writeln!(rules, "-A {target} -p tcp {note} -m tcp -j DNAT --to-destination {pod}:8080");
        }
    }
    format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
         :KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n:KUBE-POSTROUTING - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n{names}\
         -A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n-A POSTROUTING -j KUBE-POSTROUTING\n\
         -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n\
         -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n\
         -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n-A KUBE-POSTROUTING -j MASQUERADE --random-fully\n\
         {rules}{portals}-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\nCOMMIT\n"
    )
}

/// Ranges of sources and of ports that overlap in every way.
pub fn interleaved(count: u32) -> String {
    let mut random = Random::new(u64::from(count) + 2);
    let mut body = String::new();
    for _ in 0..count {
        let (first, last, low, high) = random.range();
        let verdict = ["accept", "drop"][random.below(2) as usize];
        let _ = writeln!(body, "  ip saddr {first}-{last} tcp dport {low}-{high} {verdict}");
    }
    input("", &body)
}

/// Every port on its own, each with a source of its own.
pub fn every_port() -> String {
    let mut random = Random::new(3);
    let mut body = String::new();
    for port in 1..=65_535 {
        let _ = writeln!(body, "  tcp dport {port} ip saddr {} accept", random.address());
    }
    input("", &body)
}

/// Chains as deep as nft jumps, each with several jumps to the next.
pub fn deep(fan_out: u32) -> String {
    let mut random = Random::new(4);
    let mut chains = String::new();
    let mut level = |depth: u32| {
        let mut body = String::new();
        for _ in 0..fan_out {
            let (first, last, low, high) = random.range();
            let verdict = match depth {
                15 => ["accept", "drop", "return"][random.below(3) as usize].to_owned(),
                above => format!("jump c{}", above + 1),
            };
            let _ = writeln!(body, "  ip saddr {first}-{last} tcp dport {low}-{high} {verdict}");
        }
        body
    };
    for depth in (1..=15).rev() {
        let _ = write!(chains, " chain c{depth} {{\n{} }}\n", level(depth));
    }
    let first = level(0);
    input(&chains, &first)
}

/// Very many chains, each with a few rules.
pub fn many_chains(count: u32) -> String {
    let mut random = Random::new(6);
    let (mut chains, mut body) = (String::new(), String::new());
    for chain in 0..count {
        let _ = writeln!(chains, " chain u{chain} {{");
        for _ in 0..4 {
            let verdict = ["accept", "drop", "return"][random.below(3) as usize];
            let _ = writeln!(chains, "  ip saddr {} tcp dport {} {verdict}", random.address(), random.below(65_536));
        }
        chains.push_str(" }\n");
        let network = random.address().octets();
        let _ = writeln!(body, "  ip saddr {}.{}.0.0/16 jump u{chain}", network[0], network[1]);
    }
    input(&chains, &body)
}

/// Sources alone and ports alone in turn: each port has another list of sources before it.
pub fn in_turn(count: u32) -> String {
    let mut random = Random::new(8);
    let mut body = String::new();
    for _ in 0..count / 2 {
        let _ = writeln!(body, "  ip saddr {} accept\n  tcp dport {} drop", random.address(), random.below(65_536));
    }
    input("", &body)
}

/// Rules for what this host routes, about which nothing is claimed.
pub fn forwarded(count: u32) -> String {
    let mut random = Random::new(9);
    let mut body = String::new();
    for _ in 0..count {
        let _ = writeln!(body, "  ip saddr {} tcp dport {} accept", random.address(), random.below(65_536));
    }
    format!(
        "table inet filter {{\n chain forward {{\n  type filter hook forward priority filter; policy drop;\n{body} }}\n}}\n"
    )
}
