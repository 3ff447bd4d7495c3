//! What changing and reading the kernel's rules costs, beside a floor.
//! `cargo bench --bench netlink`; needs the right to make a network namespace.
//!
//! The floor is what no program can leave out: the bytes of the same batch, put together by hand for this one case, one send, one
//! acknowledgement; and a dump whose elements are counted and not looked at. Both take turns, and are judged by their
//! medians. Nothing is asserted: only ratios of one run mean anything.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench may stop"
)]

use std::time::Instant;

use nix::sched::{CloneFlags, unshare};
use ringfence::dialect::netlink::{
    Extent, Lifted, LoweredTable, Protocol, Scope, Socket, Table, attributes, generation, lift, lower, messages, read,
    update, write,
};
use ringfence::ir::{Elements, Family, Set, SetKind};

const HOSTS: u32 = 100_000;
const ROUNDS: usize = 15;
const TABLE: &str = "ringfence";
const SET: &str = "peers4";
/// Ours by floor, at most.
const TARGETS: [f64; 3] = [1.5, 2.0, 2.0];

fn main() {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        println!("not measured: no network namespace ({error})");
        return;
    }
    let (hosts, more) = (hosts(HOSTS), hosts(HOSTS + 1));
    let (lowered, one_more) = (lowered(&hosts), lowered(&more));
    let mut times: [[Vec<f64>; 2]; 3] = Default::default();
    let (mut in_full, mut build) = (Vec::new(), Vec::new());
    // The first round only warms the caches.
    for round in 0..=ROUNDS {
        let (load, built) = ours_load(&lowered);
        let (read, lifted) = ours_read();
        assert_eq!(lifted.table.sets[0].elements.len(), hosts.len());
        let read_floor = floor_read(hosts.len());
        let (commit, whole) = ours_add(&one_more);
        delete();
        let load_floor = floor_load(&hosts);
        // As cold as it is after reading.
        floor_read(hosts.len());
        let add_floor = floor_add(more[more.len() - 1]);
        delete();
        if round > 0 {
            for (list, pair) in times.iter_mut().zip([[load, load_floor], [commit, add_floor], [read, read_floor]]) {
                list[0].push(pair[0]);
                list[1].push(pair[1]);
            }
            in_full.push(whole);
            build.push(built);
        }
    }
    println!("{:>34}{:>12}{:>12}{:>8}{:>8}", format!("{HOSTS} hosts"), "ringfence", "floor", "ratio", "target");
    let names = ["load", "add one, the commit", "read"];
    for ((name, [ours, floor]), target) in names.iter().zip(&mut times).zip(TARGETS) {
        let (ours, floor) = (median(ours), median(floor));
        println!("{name:>34}{:>12}{:>12}{:>8.2}{target:>8}", text(ours), text(floor), ours / floor);
    }
    println!("{:>34}{:>12}", "load, up to the send", text(median(&mut build)));
    println!("{:>34}{:>12}", "add one, with reading and comparing", text(median(&mut in_full)));
}

fn text(microseconds: f64) -> String {
    if microseconds < 1000.0 { format!("{microseconds:.1} µs") } else { format!("{:.1} ms", microseconds / 1000.0) }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// All different, and in order.
fn hosts(count: u32) -> Vec<u32> {
    let mut hosts: Vec<u32> =
        (0..count).map(|one| 0x0a00_0000 | (one.wrapping_mul(0x9e37_79b1) & 0x00ff_ffff)).collect();
    // The last one stays the last: it is the one that is added.
    let last = hosts.len() - hosts.len() % HOSTS as usize;
    hosts[..last].sort_unstable();
    hosts
}

fn lowered(hosts: &[u32]) -> LoweredTable {
    let elements = Elements::ipv4(hosts.iter().map(|&host| (host, host)).collect());
    let kind = SetKind::Hash { size: Some(HOSTS * 2) };
    let set = Set { name: SET.into(), kind, elements, origins: Vec::new() };
    let table = ringfence::ir::Table {
        family: Family::Inet,
        name: TABLE.into(),
        legacy: false,
        sets: vec![set],
        chains: Vec::new(),
    };
    lower(&table).unwrap()
}

fn ours_load(lowered: &LoweredTable) -> (f64, f64) {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let generation = generation(&mut socket).unwrap();
    let start = Instant::now();
    let table = write(lowered).unwrap();
    let (_, changes) = update(None, Some(&table), Extent::Nothing).unwrap();
    let built = since(start);
    changes.commit(&mut socket, generation).unwrap();
    (since(start), built)
}

fn ours_read() -> (f64, Lifted) {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let start = Instant::now();
    let kernel = read(&mut socket, TABLE, Scope::Own).unwrap();
    let lifted = lift(&kernel.own.unwrap()).unwrap().unwrap();
    (since(start), lifted)
}

/// The commit, and everything from the first question to it.
fn ours_add(lowered: &LoweredTable) -> (f64, f64) {
    let wanted: Table = write(lowered).unwrap();
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let whole = Instant::now();
    let kernel = read(&mut socket, TABLE, Scope::Own).unwrap();
    let (extent, changes) = update(kernel.own.as_ref(), Some(&wanted), Extent::Nothing).unwrap();
    assert_eq!(extent, Extent::Elements);
    let start = Instant::now();
    changes.commit(&mut socket, kernel.generation).unwrap();
    (since(start), since(whole))
}

fn delete() {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let kernel = read(&mut socket, TABLE, Scope::Own).unwrap();
    let (_, changes) = update(kernel.own.as_ref(), None, Extent::Nothing).unwrap();
    changes.commit(&mut socket, kernel.generation).unwrap();
}

/// Messages, written for this one case.
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn message(&mut self, kind: u16, flags: u16, family: u8, subsystem: u8, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | 1).to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0, 0, 0, 0, family, 0, 0, subsystem]);
        self.sequence += 1;
        body(&mut self.bytes);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sends all of it and waits for the answer.
    fn commit(&self) {
        let mut socket = Socket::open(Protocol::Netfilter).unwrap();
        socket.send(&self.bytes).unwrap();
        while let Some(answer) = socket.receive(false).unwrap() {
            assert_eq!(answer[16..20], [0; 4], "the kernel refuses the floor's batch");
        }
    }
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The batch around some messages.
fn batch(capacity: usize, fill: impl FnOnce(&mut Batch)) -> Batch {
    let mut batch = Batch { bytes: Vec::with_capacity(capacity), sequence: 0 };
    batch.message(0x10, 0, 0, 10, |_| {});
    fill(&mut batch);
    batch.message(0x11, 4, 0, 10, |_| {});
    batch
}

fn elements(batch: &mut Batch, hosts: &[u32]) {
    for piece in hosts.chunks(4000) {
        batch.message(0x0a0c, 0x400, 1, 0, |bytes| {
            attribute(bytes, 1, b"ringfence\0");
            attribute(bytes, 2, b"peers4\0");
            attribute(bytes, 4, &1_u32.to_be_bytes());
            bytes.extend((4 + 16 * piece.len() as u16).to_ne_bytes());
            bytes.extend(0x8003_u16.to_ne_bytes());
            for host in piece {
                // NFTA_LIST_ELEM { NFTA_SET_ELEM_KEY { NFTA_DATA_VALUE } }
                let mut element = [0; 16];
                element[0..2].copy_from_slice(&16_u16.to_ne_bytes());
                element[2..4].copy_from_slice(&0x8001_u16.to_ne_bytes());
                element[4..6].copy_from_slice(&12_u16.to_ne_bytes());
                element[6..8].copy_from_slice(&0x8001_u16.to_ne_bytes());
                element[8..10].copy_from_slice(&8_u16.to_ne_bytes());
                element[10..12].copy_from_slice(&1_u16.to_ne_bytes());
                element[12..16].copy_from_slice(&host.to_be_bytes());
                bytes.extend(element);
            }
        });
    }
}

fn floor_load(hosts: &[u32]) -> f64 {
    let start = Instant::now();
    let batch = batch(hosts.len() * 16 + 8192, |batch| {
        batch.message(0x0a00, 0x400, 1, 0, |bytes| attribute(bytes, 1, b"ringfence\0"));
        batch.message(0x0a09, 0x400, 1, 0, |bytes| {
            attribute(bytes, 1, b"ringfence\0");
            attribute(bytes, 2, b"peers4\0");
            for (kind, number) in [(3, 0_u32), (4, 7), (5, 4), (10, 1)] {
                attribute(bytes, kind, &number.to_be_bytes());
            }
            let mut size = Vec::new();
            attribute(&mut size, 1, &(HOSTS * 2).to_be_bytes());
            attribute(bytes, 0x8009, &size);
        });
        elements(batch, hosts);
    });
    batch.commit();
    since(start)
}

fn floor_add(host: u32) -> f64 {
    let batch = batch(256, |batch| elements(batch, &[host]));
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let start = Instant::now();
    socket.send(&batch.bytes).unwrap();
    while socket.receive(false).unwrap().is_some() {}
    since(start)
}

/// A dump whose elements are counted.
fn floor_read(expected: usize) -> f64 {
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let start = Instant::now();
    let mut request = Batch { bytes: Vec::new(), sequence: 1 };
    request.message(0x0a0d, 0x300, 1, 0, |bytes| {
        attribute(bytes, 1, b"ringfence\0");
        attribute(bytes, 2, b"peers4\0");
    });
    socket.send(&request.bytes).unwrap();
    let mut count = 0;
    'dump: loop {
        for message in messages(socket.receive(true).unwrap().unwrap()) {
            let message = message.unwrap();
            if message.kind == 3 {
                break 'dump;
            }
            for (kind, list) in attributes(&message.payload[4..]).flatten() {
                if kind == 3 {
                    count += attributes(list).count();
                }
            }
        }
    }
    assert_eq!(count, expected);
    since(start)
}
