//! Helpers of connection tracking: which of them may expect TCP connections.
//!
//! A helper is known by its name alone. One in user space (nfnetlink_cthelper) may bear any name, even a kernel's where that is not
//! loaded: whoever asks a whole host looks for these besides.

use crate::ir::{Statement, Tracking};

/// UDP (IANA).
pub const UDP: u8 = 17;

/// How a connection is tracked by the helper of a name, for a transport protocol where one is said.
///
/// Only of these is it certain that what they expect is never TCP: `netbios-ns` and `snmp` expect answers to the port that asked, by
/// the protocol that asked (net/netfilter/nf_conntrack_broadcast.c), and both are there for UDP alone; `tftp` expects UDP
/// (nf_conntrack_tftp.c). A helper for ports other than its own has them in its name (`tftp-1069`), and is not looked for here.
pub fn tracking(name: &str, protocol: Option<u8>) -> Tracking {
    match (name, protocol) {
        ("netbios-ns" | "snmp" | "tftp", None | Some(UDP)) => Tracking::Detail,
        _ => Tracking::Expecting,
    }
}

/// What a rule does that tracks so, perhaps in a zone of its own besides.
pub fn tracked(how: Tracking, zone: bool) -> Vec<Statement> {
    let zone = zone.then_some(Statement::Track(Tracking::Zone));
    let plain = zone.is_some() && how == Tracking::Detail;
    Some(Statement::Track(how)).filter(|_| !plain).into_iter().chain(zone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_expects_tcp_is_told_apart() {
        for name in ["netbios-ns", "snmp", "tftp"] {
            assert_eq!(tracking(name, None), Tracking::Detail);
            assert_eq!(tracking(name, Some(UDP)), Tracking::Detail);
            assert_eq!(tracking(name, Some(6)), Tracking::Expecting);
        }
        for name in
            ["ftp", "amanda", "RAS", "sip", "irc", "sane", "pptp", "", "TFTP", "tftp ", "tftp-1069", "netbios-ns2"]
        {
            assert_eq!(tracking(name, Some(UDP)), Tracking::Expecting, "{name}");
        }
    }
}
