//! Names that nft has for numbers, as far as rulesets use them.

/// Transport protocols (IANA, assigned internet protocol numbers), in the spellings of nft and of /etc/protocols.
const PROTOCOLS: [(&str, u8); 24] = [
    ("hopopt", 0),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("ospf", 89),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("sctp", 132),
    ("udplite", 136),
];

/// The number of a transport protocol.
pub fn protocol(text: &str) -> Option<u8> {
    number(text).and_then(|value| u8::try_from(value).ok()).or_else(|| lookup(&PROTOCOLS, text))
}

/// Services (IANA, service names and port numbers). A name that is not here is not guessed.
const SERVICES: [(&str, u16); 56] = [
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("imap2", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("smtps", 465),
    ("submissions", 465),
    ("syslog", 514),
    ("submission", 587),
    ("ldaps", 636),
    ("domain-s", 853),
    ("rsync", 873),
    ("imaps", 993),
    ("pop3s", 995),
    ("openvpn", 1194),
    ("mysql", 3306),
    ("epmd", 4369),
    ("postgresql", 5432),
    ("amqps", 5671),
    ("amqp", 5672),
    ("whois", 43),
    ("gopher", 70),
    ("snpp", 444),
    ("isakmp", 500),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("rtsp", 554),
    ("ipp", 631),
    ("socks", 1080),
    ("radius", 1812),
    ("nfs", 2049),
    ("svn", 3690),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("mdns", 5353),
    ("git", 9418),
];

/// A port by its number or the name of its service.
pub fn port(text: &str) -> Option<u16> {
    number(text).and_then(|value| u16::try_from(value).ok()).or_else(|| lookup(&SERVICES, text))
}

/// Priorities of hooks (nft(8), "Standard priority names").
const PRIORITIES: [(&str, i32); 6] =
    [("raw", -300), ("mangle", -150), ("dstnat", -100), ("filter", 0), ("security", 50), ("srcnat", 100)];

/// A priority: a number, or a name with something added or taken away, without blanks.
pub fn priority(text: &str) -> Option<i32> {
    let named = PRIORITIES.iter().find_map(|&(name, value)| Some((text.strip_prefix(name)?, value)));
    let (rest, base) = named.unwrap_or((text, 0));
    match (rest, named.is_some()) {
        ("", true) => Some(base),
        ("", false) => None,
        (rest, true) if !rest.starts_with(['+', '-']) => None,
        (rest, named) => {
            let (digits, sign) = match rest.strip_prefix('-') {
                Some(digits) => (digits, -1),
                // nft takes a plus behind a name alone.
                None => (rest.strip_prefix('+').filter(|_| named).unwrap_or(rest), 1),
            };
            // A leading zero means octal.
            let octal = digits.len() > 1 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
            let value = match digits.strip_prefix('0').filter(|_| octal) {
                Some(octal) => i32::from_str_radix(octal, 8).ok(),
                None => number(digits).and_then(|value| i32::try_from(value).ok()),
            };
            base.checked_add(value? * sign)
        }
    }
}

/// A number in decimal or hexadecimal. nft takes a leading zero for octal; that is left alone.
pub fn number(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        let hexadecimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if hexadecimal { u32::from_str_radix(digits, 16).ok() } else { None };
    }
    let decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if decimal && canonical { text.parse().ok() } else { None }
}

fn lookup<T: Copy>(table: &[(&str, T)], text: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}
