//! Throwaway network namespaces, and the right to make them.
//!
//! A network namespace belongs to a thread. Whatever a thread opens or starts (a socket, a child process, a file under
//! `/proc/sys/net`) belongs to the namespace the thread was in at that moment, so entering one is all that is needed to
//! work there. The namespaces have no name and vanish with their last user; the machine's own is never touched.

use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set in a test that runs itself once more inside a user namespace.
const INSIDE: &str = "RINGFENCE_KERNEL_INSIDE";
/// The only way not to run these tests.
const SKIP: &str = "RINGFENCE_SKIP_KERNEL";

/// A network namespace, kept alive by an open file.
pub struct Namespace(File);

impl Namespace {
    /// Makes a new namespace; the calling thread is in it afterwards.
    pub fn unshare() -> Namespace {
        unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
            panic!("no network namespace can be made ({error}): run as root, or set {SKIP}=1 to leave the kernel out")
        });
        Namespace::current()
    }

    /// Makes a new namespace and stays where it is.
    pub fn unshare_aside() -> Namespace {
        let home = Namespace::current();
        let new = Namespace::unshare();
        setns(&home.0, CloneFlags::CLONE_NEWNET).expect("returning home");
        new
    }

    fn current() -> Namespace {
        Namespace(File::open("/proc/thread-self/ns/net").expect("this thread's network namespace"))
    }

    /// Runs `work` with the calling thread in this namespace.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let home = Namespace::current();
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("entering the namespace");
        let result = work();
        setns(&home.0, CloneFlags::CLONE_NEWNET).expect("leaving the namespace");
        result
    }

    /// A path that `ip link … netns PATH` understands, good as long as this value lives.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Runs one test on a thread of its own, which may change its namespace as it likes. `name` is the test's full name:
/// without privileges the test runs itself again in a user namespace, and a namespace of users can only be made by a
/// process with a single thread.
pub fn isolated(name: &str, test: impl FnOnce() + Send + 'static) {
    if std::env::var_os(SKIP).is_some_and(|value| value == "1") {
        say(&format!("{name}: skipped, {SKIP}=1"));
        return;
    }
    if nix::unistd::geteuid().is_root() {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(test).expect("a thread");
        match thread.join() {
            Ok(()) => (),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        return;
    }
    assert!(std::env::var_os(INSIDE).is_none(), "not root in a user namespace of our own");
    let myself = std::env::current_exe().expect("the path of this test");
    let inside = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(myself)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("unshare (util-linux) runs");
    let output = String::from_utf8_lossy(&inside.stdout).into_owned() + &String::from_utf8_lossy(&inside.stderr);
    for line in output.lines().filter(|line| line.contains(NOT_POSSIBLE)) {
        say(line);
    }
    let started = output.contains("running 1 test");
    assert!(started, "no namespace can be made: run as root, or allow user namespaces, or set {SKIP}=1.\n{output}");
    assert!(inside.status.success() && output.contains("1 passed"), "in a user namespace:\n{output}");
}

const NOT_POSSIBLE: &str = "not possible here";

/// Reports what this kernel or machine cannot do. Written past the test harness, which hides what a passing test prints:
/// a test that could not test must not look like one that did.
pub fn not_possible(what: &str, why: &str) {
    let thread = std::thread::current();
    say(&format!("{NOT_POSSIBLE}: {what}, in {}: {}", thread.name().unwrap_or("a test"), why.trim_end()));
}

fn say(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{}", line.trim_end());
}

/// Stops a test that is about to change the namespace that it was started in. The harness keeps its first thread out of all
/// namespaces, so whoever shares that thread's has made none of its own.
pub fn assert_away_from_home() {
    let namespace = |path: &str| std::fs::read_link(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let home = namespace("/proc/self/ns/net");
    assert_ne!(namespace("/proc/thread-self/ns/net"), home, "this thread is not in a namespace of its own");
}

/// Runs a program in this thread's namespace, with `input` on its standard input; its output, or what it complained about.
pub fn attempt(command: &[&str], input: &str) -> Result<String, String> {
    assert_away_from_home();
    attempt_anywhere(command, input)
}

/// The same for what changes no namespace: asking for a version, or compiling.
pub fn attempt_anywhere(command: &[&str], input: &str) -> Result<String, String> {
    let (program, arguments) = command.split_first().expect("a command");
    let mut child = Command::new(program)
        .args(arguments)
        // iptables locks the whole machine against itself, and tests would wait for each other. What it changes is the
        // namespace, so that is what it shall lock.
        .env("XTABLES_LOCKFILE", "/proc/self/ns/net")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let mut pipe = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // On a thread, so that a program that writes much before it has read everything does not wait for us forever.
    let writer = std::thread::spawn(move || match pipe.write_all(input.as_bytes()) {
        // A program that gave up early says why on its standard error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("writing to a child: {error}"),
        _ => (),
    });
    let output = child.wait_with_output().expect("the child ends");
    writer.join().expect("the input is written");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{} failed:\n{text}{}", command.join(" "), String::from_utf8_lossy(&output.stderr)))
    }
}

/// Like [`attempt`], for what must work.
pub fn run(command: &[&str], input: &str) -> String {
    attempt(command, input).unwrap_or_else(|error| panic!("{error}\ninput:\n{input}"))
}

/// Runs `ip -batch` over the lines of `script`; afterwards this namespace answers at every IPv6 address that it has added.
pub fn ip(script: &str) {
    run(&["ip", "-batch", "-"], script);
    for line in script.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["addr", "add" | "replace", address, ..] = words.as_slice()
            && let Ok(address) = address.split('/').next().unwrap_or(address).parse()
        {
            until_local(address);
        }
    }
}

/// Waits until an IPv6 address of this namespace has its route. A worker of the kernel, one for all namespaces, makes that
/// at some time after `ip` has ended, even where nobody looks for duplicates; until then nothing is delivered there.
pub fn until_local(address: Ipv6Addr) {
    const RTF_LOCAL: u32 = 1 << 31;
    // Ends a test that has failed.
    const LONGEST: Duration = Duration::from_secs(20);
    let digits = format!("{:032x} 80 ", u128::from(address));
    let local = |line: &str| {
        let flags = line.split_whitespace().nth(8).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        line.starts_with(&digits) && flags.is_some_and(|flags| flags & RTF_LOCAL != 0)
    };
    let start = Instant::now();
    while !std::fs::read_to_string("/proc/thread-self/net/ipv6_route").expect("the routes").lines().any(local) {
        assert!(start.elapsed() < LONGEST, "{address} has no route");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Writes a sysctl of this thread's namespace.
pub fn sysctl(key: &str, value: &str) {
    try_sysctl(key, value).unwrap_or_else(|error| panic!("sysctl {key}={value}: {error}"));
}

/// With slashes in the key a dot is a dot: the names of interfaces may have some.
pub fn try_sysctl(key: &str, value: &str) -> std::io::Result<()> {
    assert_away_from_home();
    let path = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
    std::fs::write(format!("/proc/sys/{path}"), value)
}
