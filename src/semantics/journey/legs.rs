//! A packet's whole way leg by leg, for whoever asks why.

use super::super::door::Door;
use super::super::evaluate::{Outcome, Rules, Spot, Step};
use super::super::packet::{Locality, Packet, Shape};
use super::super::translation::Translated;
use super::{ANSWERS, Changed, FAILS, Here, Home, PASSES, PERHAPS, Sender, beginning};
use crate::ir::{ConnectionStates, Hook};

/// A part of a packet's whole way.
#[derive(Clone, Debug)]
pub struct Leg<'a> {
    /// Where it is judged; `None` where it is translated.
    pub door: Option<Door>,
    /// The packet, as it is there.
    pub packet: Packet,
    /// What may become of it.
    pub outcome: Outcome,
    /// The rules that have a say.
    pub steps: Vec<Step<'a>>,
}

/// The same told leg by leg, for whoever asks why.
impl<'a> Rules<'a> {
    /// The way of a packet of a connection that somebody opened, as far as it goes. Where it may be translated and may not, the
    /// translated one is followed.
    #[must_use]
    pub fn legs_asked(&self, packet: &Packet, home: &Home) -> Vec<Leg<'a>> {
        let mut legs = vec![self.leg(Door::Wire, packet)];
        let first = beginning(packet);
        let led = self.translations(Hook::Prerouting, &first, self.touched_before(Door::Translated, &first));
        let mut there = packet.clone();
        if let Some(translated) = led.translated.first() {
            let changed = Changed::of(translated.led, home);
            let arrives = changed.filter(|changed| changed.here != Here::No);
            let (may_pass, may_block) = (arrives.is_some(), arrives.is_none() || led.dropped);
            legs.push(Leg {
                door: None,
                packet: packet.clone(),
                outcome: Outcome { may_pass, may_block },
                steps: vec![translated.step()],
            });
            let Some(changed) = arrives else { return legs };
            there.original_port = Some(packet.port);
            there.port = changed.ports.map_or(packet.port, |(first, _)| first);
            there.destination = changed.address;
            there.locality = Locality::Local;
        }
        let is_led = there.original_port.is_some();
        legs.extend([Door::Translated, Door::Input].map(|door| self.leg(door, &there)));
        legs.extend(self.hidden.arriving(is_led).map(|spot| in_doubt(Door::AnswersLeave, &there, spot)));
        legs.extend(self.answer_legs(Door::AnswersLeave, &there));
        legs
    }

    /// The way of a packet of a connection that this host opens.
    #[must_use]
    pub fn legs_asking(&self, packet: &Packet, home: &Home) -> Vec<Leg<'a>> {
        let mut legs = vec![self.leg(Door::RequestsLeave, packet)];
        let first = beginning(packet);
        let led = self.translations(Hook::Output, &first, self.touched_at_output(&first));
        if let Some(translated) = led.translated.first() {
            let outcome = FAILS;
            legs.push(Leg { door: None, packet: packet.clone(), outcome, steps: vec![translated.step()] });
        }
        let touched = self.touched_before(Door::RequestsTranslated, &first);
        let seen = self.translations(Hook::Postrouting, &first, touched);
        if let Some(translated) = seen.translated.first() {
            let ipv4 = packet.source.is_ipv4();
            let same = Sender::of(translated.led, home, packet.destination, ipv4) == Sender::Same;
            let in_the_way = self.hidden.leaving().filter(|_| same);
            let outcome = if same && in_the_way.is_none() { PASSES } else { PERHAPS };
            legs.push(Leg { door: None, packet: packet.clone(), outcome, steps: vec![translated.step()] });
        }
        legs.push(self.leg(Door::RequestsTranslated, packet));
        legs.extend(self.answer_legs(Door::AnswersArrive, packet));
        legs
    }

    fn answer_legs(&self, door: Door, packet: &Packet) -> impl Iterator<Item = Leg<'a>> {
        let state = self.tracking(door, packet).answer_states().first().copied();
        let state = state.unwrap_or(ConnectionStates::ESTABLISHED);
        ANSWERS.map(|flags| self.leg(door, &Packet { flags, state, shape: Shape::Whole, ..packet.clone() })).into_iter()
    }

    fn leg(&self, door: Door, packet: &Packet) -> Leg<'a> {
        let (outcome, steps) = self.trace(door, packet);
        Leg { door: Some(door), packet: packet.clone(), outcome, steps }
    }
}

/// A part of the way where this chain meets the packet otherwise than it is told here.
fn in_doubt<'a>(door: Door, packet: &Packet, (table, chain, rule): Spot<'a>) -> Leg<'a> {
    let steps = vec![Step { table, chain, rule, certain: false }];
    Leg { door: Some(door), packet: packet.clone(), outcome: PERHAPS, steps }
}

impl<'a> Translated<'a, bool> {
    fn step(&self) -> Step<'a> {
        Step { table: self.table, chain: self.chain, rule: Some(self.rule), certain: false }
    }
}
