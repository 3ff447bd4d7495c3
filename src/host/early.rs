//! What is in force, read while the cluster file is.
//!
//! Of 100,000 nodes the file takes as long to read and to prove as the kernel takes to tell what it holds, and neither needs the other. So
//! a thread of its own asks, from the first moment of an apply on. It does nothing but read, and what it has read serves as what is known
//! of the members of our sets, under the conditions of [`super::known`]: rules with their counters, and all that may change while the
//! generation stays, are read once more under the lock.
//!
//! A whole look, which `status --full` is asked for, begins in the same way, and serves as it is: that changes nothing.
//!
//! A file of usual size is read sooner than a thread is begun, and everything happens one after the other.

use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};

use super::Backend;
use super::apply::Host;
use super::record::{self, GOOD};
use super::rules::{InForce, read, read_again, read_known};

/// So many bytes of a cluster file take some milliseconds.
const LONG: u64 = 1 << 18;

/// A look that is under way.
#[derive(Debug)]
pub struct Early(JoinHandle<Option<InForce>>);

impl Early {
    /// Begins to look, where a long file is to be applied, and nftables is what was applied last.
    #[must_use]
    pub fn begin(host: &Host, config: &Path) -> Option<Self> {
        let store = host.store.clone();
        Self::beside(config, move || {
            // Which everybody else needs, too, and finds in memory then.
            let kept = record::kept(&store, GOOD).ok()??;
            (kept.record.backend == Backend::Nft).then(|| read_again(Backend::Nft, &store).ok()).flatten()
        })
    }

    /// Begins to read all of it, where a long file is to be held against rules in nftables.
    #[must_use]
    pub fn begin_whole(config: &Path) -> Option<Self> {
        Self::beside(config, || read(Backend::Nft).ok())
    }

    fn beside(config: &Path, look: impl FnOnce() -> Option<InForce> + Send + 'static) -> Option<Self> {
        // Which is standard input, whatever file has this name.
        let named = Some(config).filter(|config| *config != Path::new("-"))?;
        fs::metadata(named).ok().filter(|file| file.is_file() && file.len() >= LONG)?;
        let begun = thread::Builder::new().spawn(look).ok().map(Self);
        // The kernel takes longer than the file: where it begins both on one processor, this is the one that can wait for another.
        thread::yield_now();
        begun
    }

    /// What was read; nothing where that failed, and who asks himself will hear why.
    #[must_use]
    pub fn seen(self) -> Option<InForce> {
        self.0.join().ok().flatten()
    }

    /// What is in force, where nothing has changed since it was read. The caller holds the lock.
    pub(super) fn look(self, backend: Backend) -> Option<InForce> {
        let seen = self.seen().filter(|seen| seen.backend == backend)?;
        read_known(&seen)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::UdpSocket;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::host::lab::in_new_network;

    const TABLE: &str = "table inet ringfence {\nset peers4 {\ntype ipv4_addr\nelements = { 10.0.0.1, 10.0.0.2 }\n}\n\
        chain out {\ntype filter hook output priority 0\nudp dport 9 counter comment \"sent\"\n}\n}\n";

    fn run(words: &[&str], input: &str) {
        let mut child = Command::new(words[0]).args(&words[1..]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{words:?}");
    }

    fn looked() -> Early {
        let early = Early(thread::spawn(|| read(Backend::Nft).ok()));
        while !early.0.is_finished() {
            thread::yield_now();
        }
        early
    }

    /// Counts go on while the generation stays: what was counted behind the early look is not forgotten.
    #[test]
    fn a_look_counts_as_long_as_nothing_has_changed_and_counters_are_those_of_now() {
        let found = in_new_network(|| {
            run(&["ip", "link", "set", "lo", "up"], "");
            let nothing = looked().look(Backend::Nft).is_none();
            run(&["nft", "-f", "-"], TABLE);
            let (same, other_way, changed) = (looked(), looked(), looked());
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", "127.0.0.1:9").unwrap();
            let same = same.look(Backend::Nft).unwrap();
            let members = same.table().and_then(|table| table.set("peers4")).map(|set| set.elements.len());
            let all = read(Backend::Nft).unwrap();
            assert_eq!(format!("{:?}", same.table()), format!("{:?}", all.table()));
            let other_way = other_way.look(Backend::Iptables).is_none();
            run(&["nft", "-f", "-"], "add element inet ringfence peers4 { 10.0.0.3 }");
            (
                nothing,
                same.counters.get("sent").map(|sent| sent.0),
                members > Some(0),
                other_way,
                changed.look(Backend::Nft).is_none(),
            )
        });
        assert_eq!(found, Some((true, Some(1), true, true, true)));
    }

    /// What ends otherwise than by an answer is none.
    #[test]
    fn a_look_that_fails_is_none() {
        assert!(Early(thread::spawn(|| None)).look(Backend::Nft).is_none());
        let fails = thread::Builder::new().spawn(|| -> Option<InForce> { std::panic::resume_unwind(Box::new(())) });
        assert!(Early(fails.unwrap()).look(Backend::Nft).is_none());
    }
}
