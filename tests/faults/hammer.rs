//! A stranger and a peer who try all the time, whatever happens to the rules meanwhile.
//!
//! Both are frames on the host's cable. The stranger's comes right before the peer's: the host deals with them in this
//! order, so when the peer's answer is there, one to the stranger would be, too.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lab::frame::{ACK, RST, SYN, Segment, plain};
use super::lab::rules::GUARDED;
use super::lab::wire::Wire;
use super::lab::{HOST4, HOST6, Lab, PATIENCE};
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};

/// So many that got through or got lost are listed.
const LISTED: usize = 5;

pub struct Hammer {
    end: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<Harm>>,
}

/// What should not have happened.
#[derive(Debug, Default)]
pub struct Harm {
    pub rounds: u64,
    pub strangers: u64,
    pub first_strangers: Vec<String>,
    pub lost: Vec<String>,
    /// How long strangers got through: from the first one to the last.
    pub first: Option<Instant>,
    pub last: Option<Instant>,
}

impl Hammer {
    pub fn start(lab: &Lab) -> Hammer {
        let cable = lab.cable("eth1");
        let (host, here) = (cable.host, cable.here);
        let wire = lab.wire.enter(|| Wire::open("w-eth1", host, here));
        let (end, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ending, counting) = (Arc::clone(&end), Arc::clone(&rounds));
        let thread = std::thread::spawn(move || hammer(&wire, &ending, &counting));
        Hammer { end, rounds, thread: Some(thread) }
    }

    /// Returns when some more rounds have begun and ended since.
    pub fn some_rounds(&self) {
        let from = self.rounds.load(Ordering::SeqCst);
        let start = Instant::now();
        while self.rounds.load(Ordering::SeqCst) < from + 20 {
            assert!(start.elapsed() < PATIENCE, "the hammer stands still");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns when so many rounds have ended since the start.
    #[allow(dead_code, reason = "not all tests need it")]
    pub fn at_least(&self, rounds: u64) {
        let (mut seen, mut since) = (0, Instant::now());
        while seen < rounds {
            let now = self.rounds.load(Ordering::SeqCst);
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "the hammer stands still");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn stop(mut self) -> Harm {
        self.end.store(true, Ordering::SeqCst);
        self.thread.take().expect("a thread").join().expect("the hammer ends")
    }

    /// Stops, and expects that nobody got through and nobody was lost.
    #[track_caller]
    pub fn stop_unharmed(self) {
        let harm = self.stop();
        assert!(harm.rounds > 100, "only {} rounds", harm.rounds);
        assert!(harm.strangers == 0 && harm.lost.is_empty(), "{harm:#?}");
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
    }
}

fn hammer(wire: &Wire, end: &AtomicBool, counted: &AtomicU64) -> Harm {
    let mut harm = Harm::default();
    let mut one = CpuSet::new();
    one.set(sched_getcpu().expect("this processor")).expect("a number");
    sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).expect("staying on one processor");
    let send = |segment: &Segment| plain(segment).iter().for_each(|packet| wire.send(packet));
    while !end.load(Ordering::SeqCst) {
        let port = 40000 + (harm.rounds / 2 % 20000) as u16;
        let (host, bad, good) = if harm.rounds % 2 == 0 {
            (HOST4, IpAddr::from([203, 0, 113, 77]), IpAddr::from([10, 20, 0, 12]))
        } else {
            (HOST6, "2001:db8:bad::77".parse().expect("an address"), "fd20::13".parse().expect("an address"))
        };
        let to = SocketAddr::new(host, GUARDED);
        let (stranger, peer) = (SocketAddr::new(bad, port), SocketAddr::new(good, port));
        // What belongs to no session is answered by a reset, if it gets through.
        let flags = if harm.rounds % 4 < 2 { SYN } else { ACK };
        send(&Segment::new(stranger, to, flags));
        let knock = Segment::syn(peer, to);
        send(&knock);
        let start = Instant::now();
        let mut admitted = false;
        while !admitted && start.elapsed() < Duration::from_secs(3) {
            for seen in wire.answers() {
                if seen.to.ip() == bad && seen.from == to {
                    let now = Instant::now();
                    harm.first.get_or_insert(now);
                    harm.last = Some(now);
                    harm.strangers += 1;
                    if harm.first_strangers.len() < LISTED {
                        harm.first_strangers.push(format!("{} with flags {flags:#x}", seen.to));
                    }
                }
                admitted |= seen.to == peer && seen.flags & (SYN | ACK) == SYN | ACK;
            }
            std::thread::yield_now();
        }
        if !admitted && harm.lost.len() < LISTED {
            harm.lost.push(peer.to_string());
        }
        send(&Segment { flags: RST, seq: knock.seq.wrapping_add(1), ..knock.clone() });
        harm.rounds += 1;
        counted.store(harm.rounds, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros(200));
    }
    harm
}
