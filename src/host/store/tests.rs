use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::host::lab::in_new_mounts;

pub(super) const FILES: [(&str, &[u8]); 2] = [("rules.nft", b"table inet ringfence {}\n"), ("sysctl.conf", b"")];

pub(super) fn store(folder: &Path) -> Store {
    Store::new(Some(folder.join("state")))
}

pub(super) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(super) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for place in [Place::State, Place::Volatile] {
        assert_eq!(store.read(place, "node").unwrap(), None);
        store.remove(place, "node").unwrap();
        for content in [&b"riak@10.20.0.1\n"[..], b"", b"\0\xff"] {
            store.write(place, "node", content).unwrap();
            assert_eq!(store.read(place, "node").unwrap().unwrap(), content);
        }
        let path = store.path(place, "node");
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o640, 0o750));
        store.remove(place, "node").unwrap();
        assert_eq!(store.read(place, "node").unwrap(), None);
    }
    assert_eq!(names(&folder.path().join("state")), ["run"]);
    store.write(Place::State, "rules", b"x").unwrap();
    let text = fs::read_to_string(store.path(Place::State, "rules")).unwrap();
    // From `printf x | sha256sum`.
    let sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(text, format!("# ringfence 1 sha256 {sum}\nx"));
}

#[test]
fn what_others_could_have_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let path = store.path(Place::State, "node");
    let refused = |spoil: &dyn Fn(&Path)| {
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        store.write(Place::State, "node", b"content").unwrap();
        spoil(&path);
        let error = store.read(Place::State, "node").unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        error
    };
    let again = |path: &Path| fs::remove_file(path).unwrap();
    let write = |content: &'static str| move |path: &Path| fs::write(path, content).unwrap();
    let good = format!("{FIRST_LINE}{}\n", checksum(b"content"));

    let link = |path: &Path| {
        fs::rename(path, path.with_extension("old")).unwrap();
        symlink(path.with_extension("old"), path).unwrap();
    };
    assert!(matches!(refused(&link), StoreError::NotAFile(_)));
    assert!(matches!(store.write(Place::State, "node", b""), Err(StoreError::NotAFile(_))));
    assert!(matches!(store.remove(Place::State, "node"), Err(StoreError::NotAFile(_))));
    let pipe = |path: &Path| {
        again(path);
        mkfifo(path, Mode::S_IRUSR).unwrap();
    };
    assert!(matches!(refused(&pipe), StoreError::NotAFile(_)));
    let inner = |path: &Path| {
        again(path);
        fs::create_dir(path).unwrap();
    };
    assert!(matches!(refused(&inner), StoreError::NotAFile(_)));
    for bits in [0o660, 0o642, 0o4662] {
        let writable = move |path: &Path| fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
        assert!(matches!(refused(&writable), StoreError::Writable { mode, .. } if mode == bits));
    }
    assert!(matches!(refused(&write("")), StoreError::Truncated(_)));
    let cut = |path: &Path| fs::write(path, &good[..good.len() - 1]).unwrap();
    assert!(matches!(refused(&cut), StoreError::Truncated(_)));
    let cut = |path: &Path| fs::write(path, format!("{good}conten")).unwrap();
    assert!(matches!(refused(&cut), StoreError::Checksum(_)));
    let changed = |path: &Path| fs::write(path, format!("{good}Content")).unwrap();
    assert!(matches!(refused(&changed), StoreError::Checksum(_)));
    let newer = |path: &Path| fs::write(path, format!("{good}content").replace("fence 1", "fence 2")).unwrap();
    assert!(matches!(refused(&newer), StoreError::Foreign(_)));
    if nix::unistd::geteuid().is_root() {
        let given_away = |path: &Path| chown(path, Some(12345), None).unwrap();
        assert!(matches!(refused(&given_away), StoreError::Owner { owner: 12345, .. }));
    }
}

#[test]
fn a_folder_of_others_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let state = folder.path().join("state");
    store.write(Place::Volatile, "node", b"x").unwrap();
    let refused = |what: fn(&StoreError) -> bool| {
        for place in [Place::State, Place::Volatile] {
            assert!(what(&store.read(place, "node").unwrap_err()));
            assert!(what(&store.write(place, "node", b"y").unwrap_err()));
        }
        assert!(store.write_set("rules", &FILES).is_err() && store.read_set("rules").is_err());
        assert!(matches!(store.lock("test"), Err(LockError::Store(_))));
    };
    for bits in [0o770, 0o757, 0o1777] {
        fs::set_permissions(&state, Permissions::from_mode(bits)).unwrap();
        refused(|error| matches!(error, StoreError::Writable { .. }));
        assert_eq!(mode(&state), bits);
    }
    fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
    if nix::unistd::geteuid().is_root() {
        chown(&state, Some(12345), None).unwrap();
        refused(|error| matches!(error, StoreError::Owner { owner: 12345, .. }));
        chown(&state, Some(0), None).unwrap();
    }
    assert_eq!(store.read(Place::Volatile, "node").unwrap().unwrap(), b"x");
    fs::rename(&state, folder.path().join("elsewhere")).unwrap();
    symlink("elsewhere", &state).unwrap();
    refused(|error| matches!(error, StoreError::NotAFolder(_)));
    // A slash at the end would follow the link.
    let slashed = Store::new(Some(format!("{}/", state.display()).into()));
    assert!(matches!(slashed.read(Place::State, "node"), Err(StoreError::NotAFolder(_))));
    fs::remove_file(&state).unwrap();
    fs::write(&state, "").unwrap();
    refused(|error| matches!(error, StoreError::NotAFolder(_) | StoreError::Io { .. }));
}

#[test]
fn names_mean_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    for bad in ["", ".", "..", "a/b", "/etc", ".hidden", "-x", "A", "a b", "é", "lock", "run", &"a".repeat(101)] {
        assert!(matches!(store.write(Place::State, bad, b""), Err(StoreError::Name(_))), "{bad}");
        assert!(matches!(store.read(Place::State, bad), Err(StoreError::Name(_))), "{bad}");
        assert!(matches!(store.write_set("rules", &[(bad, b"")]), Err(StoreError::Name(_))), "{bad}");
    }
    for bad in ["rules-1", "rules-", "../rules"] {
        assert!(matches!(store.write_set(bad, &FILES), Err(StoreError::Name(_))), "{bad}");
        assert!(matches!(store.read_set(bad), Err(StoreError::Name(_))), "{bad}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn one_run_holds_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let lock = store.lock("apply\nnow").unwrap();
    let Err(LockError::Held { holder: Some(holder), path, .. }) = store.lock("rollback") else { panic!("not held") };
    assert_eq!((holder.pid, holder.what.as_str(), holder.since.len()), (std::process::id(), "apply now", 20));
    let error = store.lock_waiting("rollback", Duration::from_millis(120)).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}, `apply now`, since {}", holder.pid, holder.since)), "{error}");
    assert_eq!(mode(&path), 0o600);
    // A program that the holder starts does not keep the lock.
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| store.lock_waiting("rollback", Duration::from_secs(20)));
        thread::sleep(Duration::from_millis(60));
        drop(lock);
        waiting.join().unwrap().unwrap();
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_killed_run_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    drop(store.lock("first").unwrap());
    let path = store.path(Place::Volatile, lock::FILE);
    fs::write(&path, "4000000 2026-01-01T00:00:00Z apply\n").unwrap();
    let mut other = Command::new("flock")
        .arg("--no-fork")
        .arg(&path)
        .args(["sh", "-c", "echo; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let Err(LockError::Held { holder, .. }) = store.lock("second") else { panic!("not held") };
    assert_eq!(holder.unwrap().pid, 4_000_000);
    other.kill().unwrap();
    other.wait().unwrap();
    // Between fork and exec, a program that another test starts has the file open for a moment.
    store.lock_waiting("second", Duration::from_secs(5)).unwrap();
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path();
    in_new_mounts(|| {
        let before = fs::metadata(disk).unwrap().dev();
        mount(Some("tmpfs"), disk, Some("tmpfs"), MsFlags::empty(), Some("size=64k,mode=0750")).unwrap();
        assert_ne!(fs::metadata(disk).unwrap().dev(), before);
        let store = store(disk);
        let big = vec![7; 100_000];
        store.write(Place::State, "node", b"old").unwrap();
        store.write_set("rules", &FILES).unwrap();
        let there = names(&disk.join("state"));
        let error = store.write(Place::State, "node", &big).unwrap_err();
        assert!(matches!(&error, StoreError::Full(path) if path.ends_with("state/node")), "{error}");
        let error = store.write_set("rules", &[("rules.nft", b"x"), ("big", &big)]).unwrap_err();
        assert!(matches!(&error, StoreError::Full(path) if path.ends_with("state/rules")), "{error}");
        assert_eq!(names(&disk.join("state")), there);
        assert_eq!(store.read(Place::State, "node").unwrap().unwrap(), b"old");
        assert_eq!(store.read_set("rules").unwrap().unwrap().texts().len(), FILES.len());
        // And once there is room:
        store.write(Place::State, "node", &big[..9000]).unwrap();
        store.write_set("rules", &[("big", &big[..9000])]).unwrap();
    });
    assert_eq!(names(disk), [""; 0], "the machine has seen the mount");
}

#[test]
fn readers_and_writers_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let write = |content: &[u8]| {
        for _ in 0..25 {
            store.write_set("rules", &[("a", content), ("b", content)]).unwrap();
            store.write(Place::State, "node", content).unwrap();
        }
    };
    write(b"0");
    thread::scope(|scope| {
        for content in [b"1", b"2"] {
            scope.spawn(move || write(content));
        }
        for _ in 0..50 {
            let set = store.read_set("rules").unwrap().unwrap().texts();
            assert_eq!(set["a"], set["b"]);
            store.read(Place::State, "node").unwrap().unwrap();
        }
    });
    let left = names(&folder.path().join("state"));
    assert_eq!(left, ["node", "rules"]);
}
