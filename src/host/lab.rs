//! Where tests may touch the kernel: a thread with namespaces of its own, never the machine's.

use std::path::PathBuf;
use std::process::Command;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

fn namespace(kind: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap()
}

fn apart<T: Send>(flag: CloneFlags, kind: &str, test: impl FnOnce() -> T + Send) -> Option<T> {
    if std::env::var_os("RINGFENCE_SKIP_KERNEL").is_some_and(|value| value == "1") {
        return None;
    }
    let there = namespace(kind);
    let here = || {
        unshare(flag).expect("these tests need root; RINGFENCE_SKIP_KERNEL=1 leaves them out");
        assert_ne!(namespace(kind), there, "still in the machine's own namespace");
        test()
    };
    thread::scope(|scope| match scope.spawn(here).join() {
        Ok(value) => Some(value),
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Runs a test in a network namespace with only a loopback interface, which is up; `None` where such tests are left out.
pub fn in_new_network<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    apart(CloneFlags::CLONE_NEWNET, "net", || {
        run("ip", &["link", "set", "lo", "up"]);
        test()
    })
}

/// Runs a test in a mount namespace from which no mount spreads; `None` where such tests are left out.
pub fn in_new_mounts<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    apart(CloneFlags::CLONE_NEWNS, "mnt", || {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        test()
    })
}

/// Runs a program in the namespaces of this thread, which must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
