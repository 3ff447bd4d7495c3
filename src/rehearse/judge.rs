//! The two answers that nobody has to send a packet for: what the cluster file wants, and what the rules compute to.

use super::frame::{ACK, FIN, Kind, RST, SYN};
use super::wire::Sent;
use crate::explain::Fate;
use crate::ir::{ConnectionStates, Ruleset, TcpFlags};
use crate::semantics::{Door, Packet, Rules, Shape, rewriting};
use crate::verify::Claims;

/// What is asked about packets, ready for many of them.
pub struct Judge<'a> {
    claims: Claims<'a>,
    rules: Rules<'a>,
    /// A part of the rules because of which it is certain of no packet that it gets through.
    uncertain: bool,
}

impl<'a> Judge<'a> {
    /// Prepares claims and rules.
    pub fn new(claims: Claims<'a>, ruleset: &'a Ruleset) -> Self {
        let uncertain = !ruleset.unread.is_empty() || rewriting(ruleset).is_some();
        Self { claims, rules: Rules::new(ruleset), uncertain }
    }

    /// Whether the cluster file wants it to get through.
    pub fn wants(&self, sent: &Sent, interface: &str) -> bool {
        let wanted = |(door, packet): &(Door, Packet)| self.claims.wants(*door, packet);
        faces(sent, interface).iter().filter_map(wanted).all(|(_, passes)| passes)
    }

    /// Whether it is wanted that the guard lets it on, and no more: rules of others may drop what is for a port that is not guarded, and
    /// what no honest peer sends.
    pub fn may_be_dropped_by_others(&self, sent: &Sent) -> bool {
        !self.claims.protects(sent.to.port()) || sent.kind == Kind::Flags
    }

    /// What becomes of it by the rules.
    pub fn computed(&self, sent: &Sent, interface: &str) -> Fate {
        let mut fate = if self.uncertain { Fate::Undecided } else { Fate::Delivered };
        for (door, packet) in faces(sent, interface) {
            let outcome = self.rules.evaluate(door, &packet);
            match (outcome.may_pass, outcome.may_block) {
                (true, false) => {}
                (false, _) => return Fate::Blocked,
                (true, true) => fate = Fate::Undecided,
            }
        }
        fate
    }
}

/// The segment as one packet, for words about it.
pub fn whole(sent: &Sent, interface: &str) -> Packet {
    Packet {
        destination: Some(sent.to.ip()),
        interface: interface.parse().ok(),
        port: sent.to.port(),
        flags: TcpFlags(sent.flags),
        state: state(sent.flags),
        ..Packet::plain(sent.from.ip())
    }
}

/// What connection tracking says of a segment of no connection. SYN or ACK alone may begin one, beside PSH, URG and the flags of congestion;
/// all else is invalid (net/netfilter/nf_conntrack_proto_tcp.c: tcp_valid_flags, tcp_conntracks, of which the column is sNO).
fn state(flags: u8) -> ConnectionStates {
    match flags & (FIN | SYN | RST | ACK) {
        SYN | ACK => ConnectionStates::NEW,
        _ => ConnectionStates::INVALID,
    }
}

/// What rules see of a segment, door by door. IPv4 has put fragments together when they come to input; IPv6 has not.
fn faces(sent: &Sent, interface: &str) -> Vec<(Door, Packet)> {
    let packet = whole(sent, interface);
    let of = |shape| Packet { shape, ..packet.clone() };
    let both = |shape| [(Door::Prerouting, of(shape)), (Door::Input, of(shape))];
    match (sent.kind, sent.from.is_ipv4()) {
        (Kind::Request | Kind::Data | Kind::Flags | Kind::FromPort, _) => both(Shape::Whole).to_vec(),
        (Kind::HopByHop | Kind::DestinationOptions, _) => both(Shape::Extended).to_vec(),
        (Kind::Fragments, false) => [both(Shape::First), both(Shape::Later)].concat(),
        (Kind::Fragments, true) => vec![
            (Door::Prerouting, of(Shape::First)),
            (Door::Prerouting, of(Shape::Later)),
            (Door::Input, of(Shape::Whole)),
        ],
    }
}
