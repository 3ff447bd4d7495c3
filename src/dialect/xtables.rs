//! What matches and targets of iptables do, whichever way they are read: by their text, or out of nf_tables' expressions.

use crate::ir::{Destined, Diversion, Field, Marking, Statement, Translation, Varying};

/// On what it hangs whether a match of this name holds, where no packet says so, whatever its options are. But for the lack of room
/// of [`Rule::up_to_a_crowd`](crate::ir::Rule::up_to_a_crowd), none of them decides, and none changes what others ask for (the kernel's `net/netfilter/xt_*.c`; where
/// there is no memory at all, packets are gone anyway).
pub fn varying(name: &str) -> Option<Varying> {
    Some(match name {
        "hashlimit" => Varying::RateOfEach,
        "recent" => Varying::Recent,
        "connlimit" => Varying::Connections,
        "quota" => Varying::Amount,
        "statistic" => Varying::Chance,
        "physdev" => Varying::Bridge,
        "owner" => Varying::Owner,
        "socket" => Varying::Socket,
        "mac" => Varying::Link,
        "helper" => Varying::Helper,
        "connbytes" | "connlabel" => Varying::Connection,
        _ => return None,
    })
}

/// What a target of a name does; `None` for those that take their options to say, and for those that nobody here knows. Where a
/// translation leads to is in its options, too.
pub fn target(name: &str) -> Option<Statement> {
    let write = |field| Statement::Write { field, constant: true };
    let of_packet = |field| Statement::Write { field, constant: false };
    Some(match name {
        "AUDIT" | "NFLOG" | "ULOG" | "LOG" => Statement::Log(String::new()),
        "IDLETIMER" | "LED" | "RATEEST" => Statement::Note,
        "CLASSIFY" => write(Field::Priority),
        "HMARK" | "MARK" => write(Field::Mark(Marking::Unknown)),
        "CONNSECMARK" => write(Field::Connection),
        "SECMARK" => write(Field::SecurityMark),
        "TRACE" => write(Field::Trace),
        "CHECKSUM" | "DSCP" | "TOS" => of_packet(Field::Header),
        // Routers look at it.
        name @ ("HL" | "TTL") => of_packet(Field::Other(name.to_owned())),
        // It takes flags of TCP away.
        "ECN" => of_packet(Field::Other("ECN".to_owned())),
        "TCPMSS" => of_packet(Field::TcpOption),
        "TCPOPTSTRIP" => of_packet(Field::Other("TCPOPTSTRIP".to_owned())),
        "NOTRACK" => Statement::NoTrack,
        "TEE" => Statement::Copy,
        "DNAT" => Statement::Translate(Translation::Destination, Destined::Unknown),
        "REDIRECT" => Statement::Translate(Translation::Redirect, Destined::Unknown),
        "NETMAP" => Statement::Translate(Translation::Network, Destined::Unknown),
        "SNAT" => Statement::Translate(Translation::Source, Destined::Unknown),
        "MASQUERADE" => Statement::Translate(Translation::Masquerade, Destined::Unknown),
        "NFQUEUE" | "QUEUE" => Statement::Divert(Diversion::Queue),
        "TPROXY" => Statement::Divert(Diversion::TransparentProxy),
        "SYNPROXY" => Statement::Divert(Diversion::Synproxy),
        _ => return None,
    })
}
