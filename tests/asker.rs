//! Who may run this program as root and nothing else learns nothing of files that they could not read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

/// All that a run says, through sudo of another user than the files' owner, or without sudo.
fn said(folder: &Path, line: &str, sudo: bool) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    let word = |word: &str| {
        OsStr::from_bytes(&word.split('\u{fffd}').map(str::as_bytes).collect::<Vec<_>>().join(&b'\xff')).to_owned()
    };
    command.current_dir(folder).args(line.split_whitespace().map(word));
    ["SUDO_UID", "SUDO_GID", "PKEXEC_UID", "DOAS_USER"].iter().for_each(|name| _ = command.env_remove(name));
    if sudo {
        command.env("SUDO_UID", (fs::metadata(folder).unwrap().uid() + 1).to_string());
    }
    let output = command.output().unwrap();
    assert!(output.status.code().is_some_and(|code| code != 0 || line.starts_with("explain")), "{line}");
    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat()
}

const SECRET: &str = "root:$6$hunter2$secret:19000:0:99999:7:::";

#[test]
fn lines_of_a_file_that_the_asker_may_not_read_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        fs::write(folder.path().join(name), text).unwrap();
        fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
    };
    let good = "[cluster]\nname = \"x\"\nnodes = [\"riak@10.20.0.11\"]\n[networks]\nprivate = [\"10.20.0.0/24\"]\n\
                [services.distribution]\nports = \"6000-6001\"\n";
    file("good.toml", good, 0o644);
    file("shadow", &format!("{SECRET}\n"), 0o640);
    file("hunter2.toml", &format!("{good}# x\nhunter2 = \"hunter2\"\n"), 0o600);
    file("shadow.nft", &format!("table inet x {{\n{SECRET}\n}}\n"), 0o600);
    let chain = "chain input { type filter hook input priority 0; policy accept; }";
    file(
        "rules.nft",
        &format!("table inet x {{\n{chain}\nchain input {{\ntcp dport 8098 hunter2 accept comment \"19000\"\n}}\n}}\n"),
        0o600,
    );
    file("own.nft", "include \"rules.nft\"\n", 0o644);
    file("word.toml", "root = hunter2:x\n", 0o600);
    file("name.toml", &format!("{good}[services.http]\nstate = hunter2\n"), 0o600);
    // A name that is no UTF-8 is a name as well.
    let odd = folder.path().join(OsStr::from_bytes(b"bad\xff.toml"));
    std::os::unix::fs::symlink("word.toml", odd).unwrap();
    for line in [
        "compile shadow",
        "check shadow --json",
        "check hunter2.toml",
        "verify good.toml --ruleset shadow.nft",
        "verify good.toml --ruleset shadow",
        "check word.toml --json",
        "compile name.toml --json",
        "check bad\u{fffd}.toml",
        "verify good.toml --ruleset rules.nft",
        "verify good.toml --ruleset rules.nft --json",
        "verify good.toml --include-from . --ruleset own.nft",
        "explain good.toml --ruleset rules.nft --from 10.9.9.9 --port 8098",
        "import --membership shadow --from good.toml",
        "diff good.toml --membership shadow",
    ] {
        let open = said(folder.path(), line, false);
        let hidden = said(folder.path(), line, true);
        // The name of a file is what the asker wrote.
        let hidden = hidden.replace("hunter2.toml", "");
        assert!(!hidden.contains("hunter2") && !hidden.contains("19000"), "{line}: {hidden}");
        assert!(hidden != open, "{line}: {open}");
    }
    let hidden = said(folder.path(), "check hunter2.toml", true);
    assert!(hidden.contains("hunter2.toml:9: this line cannot be used; its text is not shown"), "{hidden}");
    // doas says a name alone: nothing but what everybody may read is shown.
    let doas = Command::new(env!("CARGO_BIN_EXE_ringfence"))
        .current_dir(folder.path())
        .args(["check", "word.toml"])
        .env("DOAS_USER", "anna")
        .output()
        .unwrap();
    assert!(!String::from_utf8(doas.stderr).unwrap().contains("hunter2"));
    // What they may read themselves is shown.
    file("open.toml", &format!("{good}hunter2 = 1\n"), 0o644);
    assert!(said(folder.path(), "check open.toml", true).contains("hunter2 = 1"));
}
