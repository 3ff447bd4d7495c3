//! Who may run this program as root and nothing else learns nothing of files that they could not read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

/// All that a run says, through sudo of another user than the files' owner, or without sudo.
fn said(folder: &Path, line: &str, sudo: bool) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringfence"));
    command.current_dir(folder).args(line.split_whitespace()).env_remove("SUDO_UID").env_remove("PKEXEC_UID");
    if sudo {
        command.env("SUDO_UID", (fs::metadata(folder).unwrap().uid() + 1).to_string());
    }
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{line}");
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
    for line in [
        "compile shadow",
        "check shadow --json",
        "check hunter2.toml",
        "verify good.toml --ruleset shadow.nft",
        "verify good.toml --ruleset shadow",
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
    // What they may read themselves is shown.
    file("open.toml", &format!("{good}hunter2 = 1\n"), 0o644);
    assert!(said(folder.path(), "check open.toml", true).contains("hunter2 = 1"));
}
