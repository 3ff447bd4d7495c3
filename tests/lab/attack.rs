//! An attack that has to get through without the rules, and must not with them.
//!
//! The first half is the control: a test whose attack never worked would pass with any rules. The third half is a peer who
//! does the same: rules that block everybody would pass too.

use super::Lab;
use super::backend::Backend;
use super::frame::{SYN, Segment, Shape, plain};
use super::netns::not_possible;
use super::probe::{Outcome, Shot};
use super::rules::{GUARDED, Rules};
use super::server::BANNER;
use std::net::{IpAddr, SocketAddr};

/// What the attack does when nothing stands in its way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A whole handshake; the listening program's first words are read.
    Banner,
    /// The segment comes to the host's own stack, which has no use for it.
    Delivered,
    /// Kernels differ: some refuse it by themselves, this one perhaps among them, others once let it through.
    Unsure,
}

/// What a peer is to find who does the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    SameAsControl,
    /// Nobody may do this, or the attack is one of being somebody else.
    NotTried,
}

pub struct Attack {
    way: String,
    to: SocketAddr,
    shape: Shape,
    flags: u8,
    options: Vec<u8>,
    payload: Vec<u8>,
    via: &'static str,
    source: Option<IpAddr>,
    source_port: Option<u16>,
    control: Control,
    peer: Peer,
}

impl Attack {
    /// An ordinary SYN to the guarded port of `to`, into `eth1`.
    pub fn new(way: impl Into<String>, to: IpAddr) -> Attack {
        Attack {
            way: way.into(),
            to: SocketAddr::new(to, GUARDED),
            shape: plain,
            flags: SYN,
            options: Vec::new(),
            payload: Vec::new(),
            via: "eth1",
            source: None,
            source_port: None,
            control: Control::Banner,
            peer: Peer::SameAsControl,
        }
    }

    pub fn port(mut self, port: u16) -> Attack {
        self.to.set_port(port);
        self
    }

    pub fn shape(mut self, shape: Shape) -> Attack {
        self.shape = shape;
        self
    }

    pub fn flags(mut self, flags: u8) -> Attack {
        self.flags = flags;
        self
    }

    /// TCP options of the first segment.
    pub fn options(mut self, options: &[u8]) -> Attack {
        self.options = options.to_vec();
        self
    }

    /// Data in the first segment.
    pub fn payload(mut self, payload: &[u8]) -> Attack {
        self.payload = payload.to_vec();
        self
    }

    pub fn via(mut self, interface: &'static str) -> Attack {
        self.via = interface;
        self
    }

    /// The attacker's address, when it is part of the trick.
    pub fn source(mut self, source: IpAddr) -> Attack {
        self.source = Some(source);
        self
    }

    pub fn source_port(mut self, port: u16) -> Attack {
        self.source_port = Some(port);
        self
    }

    pub fn control(mut self, control: Control) -> Attack {
        self.control = control;
        self
    }

    pub fn without_peer(mut self) -> Attack {
        self.peer = Peer::NotTried;
        self
    }

    fn shot(&self, mut from: SocketAddr) -> Shot<'static> {
        if let Some(port) = self.source_port {
            from.set_port(port);
        }
        let mut segment = Segment::new(from, self.to, self.flags);
        segment.options = self.options.clone();
        segment.payload = self.payload.clone();
        Shot { segment, shape: self.shape, via: self.via }
    }

    /// The same without any expectation.
    pub fn shot_by_a_stranger(&self, lab: &Lab) -> Shot<'static> {
        self.shot(self.attacker(lab))
    }

    fn attacker(&self, lab: &Lab) -> SocketAddr {
        let mut from = lab.stranger(self.to.ip());
        if let Some(source) = self.source {
            from.set_ip(source);
        }
        from
    }

    /// Expects that the attack works as [`Control`] says.
    fn works(&self, lab: &Lab, from: SocketAddr, who: &str) {
        let shot = self.shot(from);
        match self.control {
            Control::Banner => {
                let said = lab.converse(&shot);
                assert_eq!(said.as_deref(), Some(BANNER), "{who}: {} from {from} should have got through", self.way);
            }
            Control::Delivered => {
                let outcome = lab.fire_one(&shot);
                assert!(reached(&outcome), "{who}: {} from {from} should have got through: {outcome:?}", self.way);
            }
            Control::Unsure => {
                if !reached(&lab.fire_one(&shot)) {
                    not_possible(&format!("\"{}\"", self.way), "this kernel refuses it by itself");
                }
            }
        }
    }

    /// Expects that the attack does not work and that not even a reset comes back.
    fn held(&self, lab: &Lab) {
        let from = self.attacker(lab);
        let outcome = lab.fire_one(&self.shot(from));
        assert!(!reached(&outcome), "{} from {from} got through the rules: {outcome:?}", self.way);
        assert!(outcome.answers.is_empty(), "{} from {from} was answered: {outcome:?}", self.way);
    }
}

/// Whether the guarded port was reached. That another port was is no harm: the attack then went astray.
fn reached(outcome: &Outcome) -> bool {
    outcome.input.contains(&GUARDED) || outcome.accepted().is_some()
}

/// Every attack without the rules, with them, and by a peer.
pub fn assault(lab: &Lab, backend: Backend, attacks: &[Attack]) {
    assert!(!attacks.is_empty());
    for attack in attacks {
        attack.works(lab, attack.attacker(lab), "without rules");
    }
    backend.load(&Rules::usual());
    hold(lab, attacks);
}

/// The second and the third half, for tests that have loaded the rules themselves.
pub fn hold(lab: &Lab, attacks: &[Attack]) {
    for attack in attacks {
        attack.held(lab);
    }
    for attack in attacks {
        if attack.peer == Peer::SameAsControl && attack.control != Control::Unsure {
            attack.works(lab, lab.peer(attack.to.ip()), "a peer");
        }
    }
}

/// The first half alone.
pub fn control(lab: &Lab, attacks: &[Attack]) {
    for attack in attacks {
        attack.works(lab, attack.attacker(lab), "without rules");
    }
}
