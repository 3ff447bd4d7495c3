//! A host with an observer on both sides of the chain under test.
//!
//! What comes to the chain and what comes out of it is written down at its own hook, one priority before it and one behind
//! it: a packet that the kernel loses anywhere else says nothing of a rule. Frames are told apart by their Ethernet
//! source, of which no rule here looks at more than the first bytes.

use std::collections::HashSet;
use std::net::TcpListener;

use ringfence::ir::ConnectionStates;
use ringfence::semantics::{Door, Packet};
use serde_json::Value;

use super::lab::frame::ethernet;
use super::lab::netns::{attempt, run};
use super::lab::{HOST4, HOST6, Lab, mac_text};
use super::packets::{Sample, battery, opening, session};

/// Where the chain under test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spot {
    Input,
    /// Between connection tracking and destination NAT.
    Prerouting,
    /// Before connection tracking.
    Raw,
}

impl Spot {
    pub fn hook(self) -> (&'static str, i32) {
        match self {
            Spot::Input => ("input", 0),
            Spot::Prerouting => ("prerouting", -150),
            Spot::Raw => ("prerouting", -300),
        }
    }

    pub fn doors(self) -> &'static [Door] {
        match self {
            Spot::Input => &[Door::Input],
            Spot::Prerouting | Spot::Raw => &[Door::Prerouting, Door::BeforeTranslation],
        }
    }
}

/// A packet that came to the chain, and whether it came out of it.
pub struct Seen {
    pub name: &'static str,
    pub packet: Packet,
    pub passed: bool,
}

const STATES: [(&str, ConnectionStates); 5] = [
    ("new", ConnectionStates::NEW),
    ("established", ConnectionStates::ESTABLISHED),
    ("related", ConnectionStates::RELATED),
    ("invalid", ConnectionStates::INVALID),
    ("untracked", ConnectionStates::UNTRACKED),
];

/// Sets of `ipset` for rules of iptables, and their elements.
pub const IPSETS: &str = "create peers4 hash:ip family inet\nadd peers4 10.20.0.12\nadd peers4 10.20.0.13\n\
    create peers6 hash:ip family inet6\nadd peers6 fd20::12\n\
    create nets4 hash:net family inet\nadd nets4 10.20.0.0/24\nadd nets4 10.20.0.128/25 nomatch\n\
    create nets6 hash:net family inet6\nadd nets6 fd20::/64\n\
    create ports bitmap:port range 1-65535\nadd ports 8098\n\
    create pairs hash:ip,port family inet\nadd pairs 10.20.0.12,tcp:8098\ncreate lists list:set\nadd lists peers4\n\
    create netports hash:net,port family inet\nadd netports 10.20.0.0/16,tcp:8098\nadd netports 10.20.0.128/25,tcp:8098 nomatch\n\
    create triples hash:ip,port,ip family inet\nadd triples 10.20.0.12,tcp:8098,198.18.0.1\n\
    add triples 10.20.0.12,tcp:22,10.20.0.9\nadd triples 203.0.113.9,tcp:4369,198.18.0.1\n\
    create tonets hash:ip,port,net family inet\nadd tonets 10.20.0.12,tcp:8098,198.18.0.0/24\n\
    add tonets 203.0.113.9,tcp:8098,198.18.0.0/24\nadd tonets 203.0.113.9,tcp:8098,198.18.0.1/32 nomatch\n\
    create on hash:net,iface family inet\nadd on 10.20.0.0/16,eth1\nadd on 203.0.113.0/24,wg wildcard\nadd on 10.20.0.200/32,fence\n\
    create any hash:net,iface family inet\nadd any 0.0.0.0/0,eth wildcard\nadd any 203.0.113.0/24,eth wildcard nomatch\n\
    create on6 hash:net,iface family inet6\nadd on6 fd20::/64,eth1\nadd on6 2001:db8::/32,wg0\n\
    create macs bitmap:ip,mac range 10.20.0.0/24\nadd macs 10.20.0.12\nadd macs 10.20.0.13,02:00:00:00:00:01\n\
    create brief hash:ip,port,ip family inet timeout 600\nadd brief 10.20.0.12,tcp:8098,198.18.0.1 timeout 500\n";

pub struct Bench {
    pub lab: Lab,
    tracked: bool,
    spot: Option<Spot>,
    listeners: [TcpListener; 2],
    /// Tells frames and sessions of this bench apart.
    serial: u32,
    written: usize,
    pub loaded: Option<String>,
}

impl Bench {
    pub fn new(tracked: bool) -> Bench {
        let lab = Lab::new();
        let listeners = [HOST4, HOST6].map(|host| TcpListener::bind((host, 8098)).unwrap());
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        if let Err(error) = attempt(&["ipset", "restore"], IPSETS) {
            eprintln!("not possible here: the sets of ipset: {error}");
        }
        Bench { lab, tracked, spot: None, listeners, serial: 0, written: 0, loaded: None }
    }

    /// Moves the observer to where the next rules stand.
    pub fn move_to(&mut self, spot: Spot) {
        if self.spot == Some(spot) {
            return;
        }
        let (hook, priority) = spot.hook();
        let mut text = "flush ruleset\ntable inet observer {\n".to_owned();
        for set in STATES.map(|(name, _)| name).into_iter().chain(["came", "passed"]) {
            text += &format!(" set s_{set} {{ type ether_addr; size 65535; flags dynamic; }}\n");
        }
        text += &format!(" chain before {{\n  type filter hook {hook} priority {};\n", priority - 1);
        text += "  iifname != \"eth1\" accept\n  add @s_came { ether saddr }\n";
        for (state, _) in STATES.iter().filter(|_| self.tracked) {
            text += &format!("  ct state {state} add @s_{state} {{ ether saddr }}\n");
        }
        text += &format!(" }}\n chain behind {{\n  type filter hook {hook} priority {};\n", priority + 1);
        text += "  iifname \"eth1\" add @s_passed { ether saddr }\n }\n}\n";
        run(&["nft", "-f", "-"], &text);
        self.spot = Some(spot);
        self.written = 0;
        self.loaded = None;
    }

    /// Loads rules between the sessions that are to be there before and all other packets; then sends these. `None` where
    /// the kernel or a tool refuses the rules, with the reason.
    pub fn try_rules(
        &mut self,
        families: &[bool],
        load: impl FnOnce(&mut Bench) -> Result<(), String>,
    ) -> Result<Vec<Seen>, String> {
        let spot = self.spot.expect("an observer");
        if self.written > 1500 {
            let sets = STATES.map(|(name, _)| name).into_iter().chain(["came", "passed"]);
            let text: String = sets.map(|set| format!("flush set inet observer s_{set}\n")).collect();
            run(&["nft", "-f", "-"], &text);
            self.written = 0;
        }
        let mut samples: Vec<Sample> = Vec::new();
        if self.tracked {
            samples.extend(self.sessions(families));
        }
        let before = samples.len();
        load(self)?;
        self.serial += 1;
        for ipv4 in families {
            let port = 20000 + (self.serial.wrapping_mul(97) % 40000) as u16;
            samples.extend(battery(*ipv4, port, spot == Spot::Input));
        }
        // What a session does comes at the end, so that others meet the rules as they are.
        samples.rotate_left(before);
        self.send(&samples);
        let seen = self.written_down(&samples);
        for listener in &self.listeners {
            while listener.accept().is_ok() {}
        }
        Ok(seen)
    }

    /// Handshakes that are made before there are rules.
    fn sessions(&mut self, families: &[bool]) -> Vec<Sample> {
        if let Some(family) = self.loaded.take() {
            run(&["nft", "-f", "-"], &format!("delete table {family} t\n"));
        }
        let mut all = Vec::new();
        for ipv4 in families {
            self.serial += 1;
            let segment = opening(*ipv4, 1025 + (self.serial % 18000) as u16);
            let cable = self.lab.cable("eth1");
            cable.answers();
            self.lab.in_order(|| {
                super::lab::frame::plain(&segment).iter().for_each(|packet| cable.send(packet));
                self.lab.wait();
            });
            let answer = cable.answers().into_iter().find(|seen| seen.to == segment.from);
            // In the tables of iptables the rules before may still stand, and let nobody in.
            all.extend(answer.map(|answer| session(&segment, answer.seq)).unwrap_or_default());
        }
        all
    }

    fn mac(&self, number: usize) -> [u8; 6] {
        let [_, a, b, c] = self.serial.to_be_bytes();
        [2, 0x77, a, b, c, number as u8]
    }

    fn send(&mut self, samples: &[Sample]) {
        let cable = self.lab.cable("eth1");
        self.lab.in_order(|| {
            for (number, sample) in samples.iter().enumerate() {
                for packet in &sample.packets {
                    cable.send_frame(&ethernet(cable.host, self.mac(number), packet));
                }
            }
            self.lab.wait();
        });
        self.written += samples.len();
    }

    fn written_down(&self, samples: &[Sample]) -> Vec<Seen> {
        let text = run(&["nft", "-j", "list", "table", "inet", "observer"], "");
        let json: Value = serde_json::from_str(&text).expect("nft writes JSON");
        let set = |name: &str| -> HashSet<String> {
            let objects = json["nftables"].as_array().expect("a list of objects");
            let name = format!("s_{name}");
            let set = objects.iter().map(|one| &one["set"]).find(|set| set["name"] == *name).expect("the set");
            let elements = set["elem"].as_array().into_iter().flatten();
            elements.map(|one| one.as_str().expect("an address").to_owned()).collect()
        };
        let (came, passed) = (set("came"), set("passed"));
        let states = STATES.map(|(name, state)| (set(name), state));
        let mut seen = Vec::new();
        for (number, sample) in samples.iter().enumerate() {
            let mac = mac_text(self.mac(number));
            if !came.contains(&mac) {
                continue;
            }
            let mut packet = sample.model.clone();
            if self.tracked {
                packet.shape = sample.gathered;
                let state = states.iter().find(|(macs, _)| macs.contains(&mac));
                packet.state = state.map_or(packet.state, |(_, state)| *state);
            }
            seen.push(Seen { name: sample.name, packet, passed: passed.contains(&mac) });
        }
        seen
    }
}
