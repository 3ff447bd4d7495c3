use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::super::tests::{FILES, mode, names, store};
use super::*;

fn with_checksum(bytes: &[u8]) -> Vec<u8> {
    [&super::super::first_line(&[bytes]), bytes].concat()
}

#[test]
fn a_set_changes_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let state = folder.path().join("state");
    assert!(store.read_set("rules").unwrap().is_none());
    store.remove_set("rules").unwrap();
    store.write_set("rules", &FILES).unwrap();
    assert_eq!(mode(&store.path(Place::State, "rules")), 0o640);
    let read = store.read_set("rules").unwrap().unwrap().texts();
    assert!(read.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).eq(FILES));

    // What killed runs left: a file that never got its name.
    fs::write(state.join(".rules.next"), "half").unwrap();
    // What only looks alike.
    store.write(Place::State, "rules-30", b"a file").unwrap();
    store.write_set("rules-b", &FILES).unwrap();
    store.write_set("rules", &[("only.nft", b"new")]).unwrap();
    assert_eq!(store.read_set("rules").unwrap().unwrap().texts().keys().collect::<Vec<_>>(), ["only.nft"]);

    store.remove_set("rules").unwrap();
    assert_eq!(names(&state), ["rules-30", "rules-b"]);
    assert!(store.read_set("rules").unwrap().is_none());
    assert!(matches!(store.write_set("rules-30", &FILES), Err(StoreError::Name(_))));
    assert!(matches!(store.write_set("rules.base", &FILES), Err(StoreError::Name(_))));
    fs::create_dir(state.join("rules")).unwrap();
    assert!(matches!(store.write_set("rules", &FILES), Err(StoreError::NotASet(_))));
    assert!(matches!(store.read_set("rules"), Err(StoreError::NotASet(_))));
    assert!(matches!(store.remove_set("rules"), Err(StoreError::NotASet(_))));
}

/// Nodes of a cluster file, in no order.
fn members(count: u32) -> String {
    (0..count)
        .map(|number| format!("  \"riak@10.{}.{}.{}\",\n", number * 7 % 251, number / 250, number % 250))
        .collect()
}

#[test]
fn of_a_large_set_little_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (set, base) = (store.path(Place::State, "rules"), store.path(Place::State, "rules.base"));
    let holds = |text: &str, record: &str| {
        let read = Store::new(Some(folder.path().join("state"))).read_set("rules").unwrap().unwrap().texts();
        assert!(read.get("cluster.toml").unwrap() == text.as_bytes() && read.len() == 2);
        assert_eq!(read.get("record.json").unwrap(), record.as_bytes());
        let set = store.read_set("rules").unwrap().unwrap();
        assert_eq!(set.texts(), read);
        // Piece by piece as well.
        let own = [("cluster.toml", text), ("record.json", record)].map(|(name, text)| (name, text.as_bytes()));
        assert!(set.is(&own) && !set.is(&own[..1]) && !set.is(&[own[0], own[1], ("more", b"")]));
        for other in [&text[1..], &text[..text.len() - 1], &format!("{text}x"), ""] {
            assert!(!set.is(&[("cluster.toml", other.as_bytes()), own[1]]));
        }
        assert!(!set.is(&[("cluster.tom", own[0].1), own[1]]) && set.get("cluster.tom").is_none());
    };
    let write = |text: &str, record: &str| {
        store.write_set("rules", &[("cluster.toml", text.as_bytes()), ("record.json", record.as_bytes())]).unwrap();
        holds(text, record);
        fs::metadata(&set).unwrap().len()
    };
    let text = members(5000);
    assert!(write(&text, "{}") > text.len() as u64);
    let first = fs::read(&set).unwrap();
    assert!(!base.exists());
    // At the beginning, in the middle, at the end; several at once, each held against the base and not against the last change.
    for (at, new) in [(0, "# first\n"), (text.len() / 2, "# middle\n"), (text.len(), "# last")] {
        let at = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let edited = format!("{new}{}{new}{}", &text[..at], &text[at..]);
        assert!(write(&edited, &format!("{{\"at\": {at}}}")) < 1000, "{at}");
        assert_eq!(fs::read(&base).unwrap(), first);
    }
    for edited in [
        text.replacen("riak@10.0.0.0", "riak@10.0.0.250", 1),
        text.clone() + "\r\n",
        text[..text.len() - 30].to_owned(),
    ] {
        assert!(write(&edited, "") < 1000);
    }
    assert!(write(&text, "{}") < 1000);
    let last = fs::read(&set).unwrap();
    // What has little in common is written whole, and needs no base.
    assert!(write(&text.replace("riak@", "other@"), "{}") > text.len() as u64);
    assert!(!base.exists());
    write(&text, "{}");
    // A change that was prepared and never put.
    store.prepare_set("rules", &[("cluster.toml", b"other")]).unwrap();
    holds(&text, "{}");
    store.prepare_set("rules", &[("cluster.toml", format!("{text}#").as_bytes())]).unwrap();
    holds(&text, "{}");
    // A change without its base, or with another one, is no set, and not an older one either.
    fs::write(&set, &last).unwrap();
    assert!(matches!(store.read_set("rules"), Err(StoreError::Base(path)) if path == base));
    fs::remove_file(&base).unwrap();
    assert!(matches!(store.read_set("rules"), Err(StoreError::Missing(path)) if path == base));
    fs::write(&base, &last).unwrap();
    assert!(matches!(store.read_set("rules"), Err(StoreError::Base(path)) if path == base));
    write(&text, "{}");
}

/// At the start of the machine somebody may write without the lock.
#[test]
fn whoever_prepared_first_does_not_put_what_another_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let text = members(5000);
    let (changed, other) = (format!("{text}#"), text.replace("riak@", "other@"));
    let prepare = |text: &str| store.prepare_set("rules", &[("a", text.as_bytes())]).unwrap();
    let holds = |text: &str| assert!(store.read_set("rules").unwrap().unwrap().texts()["a"] == text.as_bytes());
    for (one, two) in [(&other, &changed), (&changed, &other), (&changed, &text)] {
        store.write_set("rules", &[("a", text.as_bytes())]).unwrap();
        store.write_set("rules", &[("a", format!("{text}##").as_bytes())]).unwrap();
        let (first, second) = (prepare(one), prepare(two));
        assert!(
            matches!(store.put_set(&first), Err(StoreError::Overtaken(path)) if path == store.path(Place::State, "rules"))
        );
        holds(&format!("{text}##"));
        store.put_set(&second).unwrap();
        holds(two);
        assert!(matches!(store.put_set(&second), Err(StoreError::Overtaken(_))));
        holds(two);
    }
}

/// What a disk made of it meanwhile does not take the place of a set that is whole.
#[test]
fn what_was_damaged_before_it_was_put_is_not_put() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let beside = folder.path().join("state/.rules.next");
    let text = members(5000);
    // Written whole, and as a change.
    for new in [text.replace("riak@", "other@"), format!("{text}#")] {
        store.write_set("rules", &[("a", text.as_bytes())]).unwrap();
        let ready = store.prepare_set("rules", &[("a", new.as_bytes())]).unwrap();
        let whole = fs::read(&beside).unwrap();
        let mut altered = whole.clone();
        *altered.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() - 1], altered.as_slice(), &[]] {
            fs::write(&beside, damaged).unwrap();
            let refused = store.put_set(&ready);
            assert!(matches!(refused, Err(StoreError::Checksum(_) | StoreError::Truncated(_))), "{refused:?}");
            assert!(store.read_set("rules").unwrap().unwrap().texts()["a"] == text.as_bytes());
        }
        fs::write(&beside, &whole).unwrap();
        store.put_set(&ready).unwrap();
        assert!(store.read_set("rules").unwrap().unwrap().texts()["a"] == new.as_bytes());
    }
}

/// A change is taken apart by whoever reads it: no few bytes make up a text without end.
#[test]
fn a_change_keeps_what_is_there_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let (set, base) = (store.path(Place::State, "rules"), store.path(Place::State, "rules.base"));
    store.write_set("rules", &[("a", b"0123456789")]).unwrap();
    fs::copy(&set, &base).unwrap();
    let content = fs::read(&base).unwrap();
    let (sum, _) = without_checksum(&content, &base).unwrap();
    let read = |pieces: &str, new: &str| {
        let head =
            format!("{{\"change\":{{\"of\":\"{sum}\",\"texts\":[{{\"name\":\"a\",\"pieces\":{pieces}}}]}}}}\n{new}");
        fs::write(&set, with_checksum(head.as_bytes())).unwrap();
        store.read_set("rules").map(|set| set.unwrap().texts()["a"].clone())
    };
    assert_eq!(read("[[0,3],2,[5,10]]", "xy").unwrap(), b"012xy56789");
    for (pieces, new) in [
        ("[[0,3],[2,5]]", ""),
        ("[[0,10],[0,10]]", ""),
        ("[[3,2]]", ""),
        ("[[0,11]]", ""),
        ("[[0,18446744073709551615]]", ""),
        ("[18446744073709551615]", "x"),
        ("[[0,3]]", "x"),
        ("[2]", "x"),
    ] {
        assert!(matches!(read(pieces, new), Err(StoreError::Foreign(_))), "{pieces}");
    }
}

#[test]
fn a_set_that_was_touched_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let text = members(5000);
    let (set, base) = (store.path(Place::State, "rules"), store.path(Place::State, "rules.base"));
    let write = || {
        let _ = store.remove_set("rules");
        store.write_set("rules", &[("cluster.toml", text.as_bytes())]).unwrap();
        store.write_set("rules", &[("cluster.toml", format!("{text}#").as_bytes())]).unwrap();
        store.read_set("rules").unwrap();
    };
    let refused = |spoil: &dyn Fn()| {
        write();
        spoil();
        store.read_set("rules").unwrap_err()
    };
    for path in [&set, &base] {
        let edit = |with: fn(&mut Vec<u8>)| {
            let mut bytes = fs::read(path).unwrap();
            with(&mut bytes);
            fs::write(path, bytes).unwrap();
        };
        let longer = || edit(|bytes| bytes.push(b'x'));
        let shorter = || edit(|bytes| _ = bytes.pop());
        let another = || edit(|bytes| bytes[100] ^= 1);
        for spoil in [&longer as &dyn Fn(), &shorter, &another] {
            assert!(matches!(refused(spoil), StoreError::Checksum(_)), "{}", path.display());
        }
        assert!(matches!(refused(&|| fs::write(path, "").unwrap()), StoreError::Truncated(_)));
        assert!(matches!(refused(&|| fs::write(path, "x".repeat(100)).unwrap()), StoreError::Foreign(_)));
        let other = with_checksum(b"{\"other\": 1}\n");
        assert!(matches!(refused(&|| fs::write(path, &other).unwrap()), StoreError::Foreign(_)));
        let open = || fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(refused(&open), StoreError::Writable { .. }));
        fs::remove_file(path).unwrap();
    }
    let elsewhere = || {
        fs::remove_file(&set).unwrap();
        symlink("/etc", &set).unwrap();
    };
    assert!(matches!(refused(&elsewhere), StoreError::NotASet(_)));
    fs::remove_file(&set).unwrap();
    // What is damaged makes room for what is written next; what is no file of ours is left for a person to look at, before anything changes.
    write();
    fs::write(&set, "").unwrap();
    store.write_set("rules", &FILES).unwrap();
    assert_eq!(store.read_set("rules").unwrap().unwrap().texts().len(), FILES.len());
    fs::create_dir(&base).unwrap();
    assert!(matches!(store.prepare_set("rules", &FILES), Err(StoreError::NotAFile(_))));
    fs::remove_dir(&base).unwrap();
}

/// A link to a folder with a file for each text.
fn write_as_before(state: &Path, name: &str, files: &[(&str, &[u8])]) {
    let folder = state.join(format!("{name}-7"));
    fs::create_dir_all(&folder).unwrap();
    let mut sums = String::new();
    for (file, bytes) in files {
        fs::write(folder.join(file), bytes).unwrap();
        sums += &format!("{}  {file}\n", checksum(bytes));
    }
    fs::write(folder.join("SHA256SUMS"), sums).unwrap();
    symlink(format!("{name}-7"), state.join(name)).unwrap();
}

#[test]
fn sets_of_versions_before_are_read_and_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let state = folder.path().join("state");
    let path = state.join("rules-7");
    write_as_before(&state, "rules", &FILES);
    let read = store.read_set("rules").unwrap().unwrap().texts();
    assert!(read.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).eq(FILES));
    fs::write(path.join("more.nft"), "").unwrap();
    assert!(matches!(store.read_set("rules"), Err(StoreError::Stray(_))));
    fs::remove_file(path.join("more.nft")).unwrap();
    fs::write(path.join("rules.nft"), "table").unwrap();
    assert!(matches!(store.read_set("rules"), Err(StoreError::Checksum(_))));
    fs::remove_file(path.join("rules.nft")).unwrap();
    assert!(matches!(store.read_set("rules"), Err(StoreError::Missing(_))));
    store.write_set("rules", &[("only.nft", b"new")]).unwrap();
    assert_eq!(names(&state), ["rules"]);
    assert_eq!(store.read_set("rules").unwrap().unwrap().texts().keys().collect::<Vec<_>>(), ["only.nft"]);
    store.remove_set("rules").unwrap();
    write_as_before(&state, "rules", &FILES);
    store.remove_set("rules").unwrap();
    assert_eq!(names(&state), [""; 0]);
}
