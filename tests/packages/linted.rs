//! What is in the packages, and what lintian, rpmlint and systemd-analyze say of it.

use std::process::Command;

use super::in_a_root;
use super::root::{Ran, package, project};

fn tool(program: &str, arguments: &[&str]) -> Ran {
    let command = Command::new(program).args(arguments).current_dir(project()).env("LC_ALL", "C.UTF-8").output();
    command.unwrap_or_else(|error| panic!("{program}: {error}")).into()
}

#[test]
fn lintian_has_nothing_to_say() {
    let deb = package("deb").display().to_string();
    tool(
        "lintian",
        &["--allow-root", "--fail-on", "error,warning,info,pedantic", "--display-info", "--pedantic", &deb],
    )
    .fine();
}

#[test]
fn rpmlint_has_nothing_to_say_that_is_not_explained() {
    let rpm = package("rpm").display().to_string();
    let said = tool("rpmlint", &["--config", "packaging/rpm/rpmlint.toml", &rpm]).fine().said;
    assert!(said.contains("0 errors, 0 warnings"), "{said}");
}

#[test]
fn every_subcommand_has_its_page_and_no_file_is_the_administrators() {
    let deb = tool("dpkg-deb", &["--fsys-tarfile", &package("deb").display().to_string()]);
    assert_eq!(deb.code, Some(0));
    let list = |program: &str, arguments: &[&str]| -> Vec<String> {
        let said = tool(program, arguments).fine().said;
        said.lines()
            .filter_map(|line| line.split_whitespace().last())
            .map(|path| path.trim_start_matches('.').to_owned())
            .collect()
    };
    let deb = list("dpkg-deb", &["-c", &package("deb").display().to_string()]);
    let rpm = list("rpm", &["-qpl", &package("rpm").display().to_string()]);
    let help = tool(env!("CARGO_BIN_EXE_ringfence"), &["--help"]).fine().said;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for files in [&deb, &rpm] {
        let has = |path: &str| files.iter().any(|file| file == path);
        for command in commands.iter().filter(|command| !["", "help"].contains(command)) {
            assert!(has(&format!("/usr/share/man/man1/ringfence-{command}.1.gz")), "{command}: {files:#?}");
        }
        for path in [
            "/usr/bin/ringfence",
            "/usr/share/man/man1/ringfence.1.gz",
            "/usr/share/man/man5/ringfence.toml.5.gz",
            "/usr/share/man/man1/ringfence-hook-post-install.1.gz",
            "/usr/share/bash-completion/completions/ringfence",
            "/usr/share/fish/vendor_completions.d/ringfence.fish",
            "/usr/share/ringfence/profiles/riak.toml",
            "/usr/share/ringfence/schemas/apply.1.json",
            "/usr/share/ringfence/examples/mail-east.toml",
            "/usr/share/ringfence/hooks/post-install.sh",
            "/usr/lib/systemd/system/ringfence.service",
            "/usr/lib/systemd/system/nftables.service.d/ringfence.conf",
        ] {
            assert!(has(path), "{path}: {files:#?}");
        }
        assert!(
            !files.iter().any(|file| file.starts_with("/etc/") && !file.ends_with('/') || file.starts_with("/var")),
            "{files:#?}"
        );
    }
}

in_a_root! {
    fn the_units_are_in_order(root) {
        root.install();
        let units = "ringfence.service ringfence-drift.service ringfence-drift.timer nftables.service";
        // The pages are left out of this root, and are asked for one by one.
        let said = root
            .sh(&format!("cd /usr/lib/systemd/system && SYSTEMD_LOG_LEVEL=notice systemd-analyze verify --man=no {units}"))
            .fine()
            .said;
        assert_eq!(said, "");
        // The drop-in is among what was read.
        root.sh("echo Nonsense=1 >>/usr/lib/systemd/system/nftables.service.d/ringfence.conf").fine();
        root.sh("cd /usr/lib/systemd/system && systemd-analyze verify --man=no nftables.service; echo $?").says("Nonsense");
        root.sh("systemctl --root=/ is-enabled ringfence.service").fine().says("enabled");
        root.sh("systemctl --root=/ is-enabled ringfence-drift.timer").ended(1).says("disabled");
    }
}
