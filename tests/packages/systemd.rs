//! The units under a systemd that runs: process 1 of namespaces of its own, in a root of the test's own. It gets a group of
//! processes (cgroups(7)) below this one's, no device, and may write no sysctl but the network's, which are the namespace's.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::hammer::Hammer;
use super::in_a_root;
use super::lab::netns::{not_possible, run};
use super::root::{CONFIG, Ran, Root, larger, project, small};

const PATIENCE: Duration = Duration::from_secs(60);

/// In the root's folder, with `$GROUP` and `$V2`.
const START: &str = r#"
mkdir -p proc2
mount -t proc proc proc && mount -t proc proc proc2 && mount -t sysfs sys sys
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys && mount --bind proc2/sys/net proc/sys/net
mount -t tmpfs tmpfs run && mount -t tmpfs tmpfs dev
for device in null zero full random urandom tty; do : >dev/$device; mount --bind /dev/$device dev/$device; done
ln -s /proc/self/fd dev/fd
if [ "$V2" = yes ]; then
	mount -t cgroup2 cgroup2 sys/fs/cgroup
else
	mount -t tmpfs tmpfs sys/fs/cgroup -o mode=755 && mkdir sys/fs/cgroup/systemd
	mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
exec env -i container=test PATH=/usr/sbin:/usr/bin chroot . /lib/systemd/systemd --log-target=null --unit=multi-user.target
"#;

struct Booted {
    unshare: Child,
    init: u32,
    group: PathBuf,
}

impl Booted {
    /// `None` where this machine does not let a systemd run, which is said.
    fn new(root: &Root) -> Option<Booted> {
        for unit in ["systemd-sysctl.service", "systemd-modules-load.service", "getty.target", "systemd-udevd.service"]
        {
            root.sh(&format!("ln -s /dev/null /etc/systemd/system/{unit}")).fine();
        }
        let v2 = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false);
        let group = if v2 { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/systemd" };
        let group = PathBuf::from(group).join(format!("ringfence-test-{}", root.name()));
        if let Err(error) = fs::create_dir(&group) {
            not_possible("a systemd that runs", &error.to_string());
            return None;
        }
        // Into the group first, so that it is the root of the new namespace of groups.
        let outside = format!(
            "echo $$ >{}/cgroup.procs && exec unshare --mount --pid --fork --ipc --uts --cgroup --kill-child \
             sh -e -c \"$SCRIPT\"",
            group.display()
        );
        let unshare = Command::new("sh")
            .args(["-e", "-c", &outside])
            .env("SCRIPT", root.mounted(START))
            .env("V2", if v2 { "yes" } else { "no" })
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut booted = Booted { unshare, init: 0, group };
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let id = booted.unshare.id();
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            booted.init = children.split_whitespace().next().and_then(|child| child.parse().ok()).unwrap_or(0);
            let state = if booted.init == 0 { String::new() } else { booted.sh("systemctl is-system-running").said };
            if state.trim() == "running" || state.trim() == "degraded" {
                return Some(booted);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        not_possible("a systemd that runs", "it does not come up");
        None
    }

    fn sh(&self, script: &str) -> Ran {
        let init = self.init.to_string();
        Command::new("timeout")
            .args(["--signal=KILL", "60", "nsenter", "-t", &init, "-m", "-p", "-n", "-i", "-u", "-C", "-r", "-w"])
            .args(["sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .expect("nsenter runs")
            .into()
    }

    fn log(&self, unit: &str) -> String {
        self.sh(&format!("journalctl --no-pager --sync; journalctl --no-pager --output=cat --unit={unit}")).said
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Its child, process 1, goes with it, and all others with that.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let start = Instant::now();
        let script = format!("find {} -depth -type d -exec rmdir {{}} +", self.group.display());
        while self.group.exists() && start.elapsed() < Duration::from_secs(10) {
            let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn handle() -> String {
    run(&["nft", "-a", "list", "table", "inet", "ringfence"], "").lines().next().expect("a line").to_owned()
}

in_a_root! {
    fn another_firewall_that_flushes_everything_is_answered(root) {
        let Some(booted) = Booted::new(root) else { return };
        root.write(CONFIG, &small());
        booted.sh("dpkg -i /ringfence.deb").fine().says("in force for riak@10.20.0.1");
        let active = booted.sh("systemctl is-active ringfence.service");
        assert_eq!(active.code, Some(0), "{}", booted.log("ringfence.service"));
        let before = root.table();
        let mut last = handle();
        for verb in ["start", "reload", "restart", "stop"] {
            booted.sh(&format!("systemctl {verb} nftables.service")).fine();
            assert_eq!(root.table(), before, "after {verb}");
            // It was gone indeed.
            assert_ne!(handle(), last, "after {verb}");
            last = handle();
        }
        let log = booted.log("nftables.service");
        assert!(log.contains("DRIFTED: nothing of ringfence was in force"), "{log}");
        root.stood(Hammer::start(&root.lab));
    }

    fn the_unit_starts_stops_falls_back_and_closes(root) {
        let Some(booted) = Booted::new(root) else { return };
        root.write(CONFIG, &small());
        booted.sh("dpkg -i /ringfence.deb").fine();
        let (before, hammer) = (root.table(), Hammer::start(&root.lab));
        booted.sh("systemctl stop ringfence.service && systemctl start ringfence.service").fine();
        root.write(CONFIG, &larger());
        let reloaded = booted.sh("systemctl reload ringfence.service");
        assert_eq!(reloaded.code, Some(0), "{}", booted.log("ringfence.service"));
        assert_ne!(root.table(), before);
        let applied = root.table();
        root.write(CONFIG, "[cluster");
        booted.sh("systemctl restart ringfence.service").ended(1);
        booted.sh("systemctl is-failed ringfence.service").fine();
        let log = booted.log("ringfence.service");
        assert!(log.contains("cluster.toml:1") && log.contains("falling back to what was applied last"), "{log}");
        assert_eq!(root.table(), applied);
        root.stood(hammer);
        booted.sh("ringfence remove; systemctl restart ringfence.service").ended(1);
        let log = booted.log("ringfence.service");
        assert!(log.contains("closed for everyone but loopback"), "{log}");
        // They stay so, whatever another firewall flushes.
        let closed = (root.table(), handle());
        booted.sh("systemctl restart nftables.service").fine();
        assert_eq!(root.table(), closed.0);
        assert_ne!(handle(), closed.1);
        // Back ends that take other rights within the unit's walls.
        root.write(CONFIG, &small());
        for variant in ["nft", "legacy"] {
            let choose = format!("for v in iptables ip6tables; do update-alternatives --set $v /usr/sbin/$v-{variant}; done");
            booted.sh(&format!("{choose} && ringfence apply --backend iptables && systemctl restart ringfence.service")).fine();
            booted.sh("iptables -t raw -F && systemctl restart ringfence.service && ringfence status").fine().says("enforced");
        }
        // A wall that cannot be built: this /dev lacks what it takes.
        booted.sh("ringfence apply --backend nft && ringfence status").fine();
        let before = root.table();
        let folder = "/etc/systemd/system/ringfence.service.d";
        booted.sh(&format!("mkdir {folder}; printf '[Service]\\nPrivateDevices=yes\\n' >{folder}/wall.conf")).fine();
        run(&["nft", "flush", "ruleset"], "");
        booted.sh("systemctl daemon-reload; systemctl restart ringfence.service").ended(1);
        assert_eq!(root.table(), before);
        booted.sh(&format!("rm -r {folder}")).fine();
        booted.sh("systemctl daemon-reload && systemctl restart ringfence.service").fine();
        // Neither file: nothing to do, and no failure.
        booted.sh("ringfence remove && rm /etc/ringfence/cluster.toml && systemctl restart ringfence.service").fine();
        assert_eq!(root.table(), "");
        // A link that leads nowhere is a file that cannot be read.
        booted.sh("ln -s /nowhere /etc/ringfence/cluster.toml; systemctl restart ringfence.service").ended(1);
        assert_eq!(root.table(), closed.0);
    }

    fn beside_another_firewall_the_watch_brings_back_what_is_flushed(root) {
        let Some(booted) = Booted::new(root) else { return };
        booted.sh("systemctl enable --now nftables.service && dpkg -i /ringfence.deb").fine().says("ringfence-watch.service is enabled");
        // Nothing was applied yet, and it has to be there when something is.
        let is_active = || booted.sh("systemctl is-active ringfence-watch.service").code == Some(0);
        assert!(is_active(), "{}", booted.log("ringfence-watch.service"));
        // Written by the machine, which has looked for the file before.
        booted.sh(&format!("cat >{CONFIG} <<'E'\n{}\nE\nringfence apply", small())).fine();
        let before = root.table();
        run(&["nft", "flush", "ruleset"], "");
        let start = Instant::now();
        while root.table() != before {
            assert!(start.elapsed() < PATIENCE, "{}", booted.log("ringfence-watch.service"));
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("back {:?} after the flush", start.elapsed());
        let process = || booted.sh("systemctl show -P MainPID ringfence-watch.service").said;
        let old = process();
        booted.sh("dpkg -i /ringfence.deb").fine();
        assert!(is_active() && process() != old, "after an upgrade the old program runs");
        booted.sh("ringfence remove").fine();
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(root.table(), "", "what was removed on purpose is brought back");
        booted.sh("systemctl disable --now ringfence-watch.service && dpkg -i /ringfence.deb").fine();
        assert!(!is_active(), "whoever disabled it wants it so");
    }

    fn the_walls_of_the_units_let_through_what_openings_write(root) {
        let Some(booted) = Booted::new(root) else { return };
        root.write(CONFIG, &small());
        booted.sh("dpkg -i /ringfence.deb && mkdir -p /etc/firewalld /etc/ufw /var/lib/ufw").fine();
        let script = "cd / && touch etc/firewalld/x etc/ufw/x var/lib/ufw/x tmp/x run/x var/lib/ringfence/x && ! touch etc/x && ! touch usr/x";
        for unit in ["ringfence-drift.service", "ringfence-watch.service", "ringfence.service"] {
            let folder = format!("/etc/systemd/system/{unit}.d");
            let instead = format!("[Service]\nType=oneshot\nRestart=no\nExecStart=\nExecStart=/bin/sh -c '{script}'\n");
            let ran = booted.sh(&format!(
                "mkdir -p {folder} && cat >{folder}/instead.conf <<'E'\n{instead}E\nsystemctl daemon-reload && systemctl restart {unit}"
            ));
            assert_eq!(ran.code, Some(0), "{unit}: {}", booted.log(unit));
        }
    }

    /// A unit that fails each minute with the same words drowns the journal: one shows it, and says it once.
    fn what_cannot_be_mended_is_shown_once_until_it_is_over(root) {
        let Some(booted) = Booted::new(root) else { return };
        root.write(CONFIG, &small());
        booted.sh("dpkg -i /ringfence.deb && ringfence apply").fine();
        let faster = "[Timer]\\nOnBootSec=\\nOnActiveSec=100ms\\nOnUnitInactiveSec=100ms\\nAccuracySec=10ms\\n";
        booted.sh(&format!(
            "mkdir -p /etc/systemd/system/ringfence-drift.timer.d && printf '{faster}' >/etc/systemd/system/ringfence-drift.timer.d/faster.conf \
             && systemctl daemon-reload"
        ))
        .fine();
        // Somebody shuts out the peers.
        run(&["nft", "add table inet other; add chain inet other in { type filter hook input priority 0; policy accept; }; \
            add rule inet other in tcp dport 4369 drop"], "");
        booted.sh("systemctl start ringfence-drift.timer").fine();
        let until = |what: &str, script: &str| {
            let start = Instant::now();
            while booted.sh(script).code != Some(0) {
                assert!(start.elapsed() < PATIENCE, "{what}: {}", booted.log("ringfence-drift.service"));
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        until("it is shown", "systemctl is-failed ringfence-attention.service");
        let mut looks = std::collections::BTreeSet::new();
        let start = Instant::now();
        while looks.len() < 6 {
            assert!(start.elapsed() < PATIENCE, "{looks:?}");
            looks.insert(booted.sh("systemctl show --value -p InvocationID ringfence-drift.service").fine().said);
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = booted.log("ringfence-drift.service");
        assert_eq!(log.matches("SHADOWED, and there is nothing to bring back").count(), 1, "{log}");
        booted.sh("systemctl is-failed ringfence-drift.service").ended(1);
        let shown = booted.log("ringfence-attention.service");
        assert_eq!(shown.matches("SHADOWED for ").count(), 1, "{shown}");
        booted.sh("systemctl list-units --failed --plain --no-legend | grep -c ^ringfence-attention").fine().says("1");
        run(&["nft", "delete", "table", "inet", "other"], "");
        until("it is over", "! systemctl is-failed ringfence-attention.service");
        booted.sh("systemctl stop ringfence-drift.timer").fine();
    }

    fn the_timer_is_off_and_brings_back_what_is_gone(root) {
        let Some(booted) = Booted::new(root) else { return };
        root.write(CONFIG, &small());
        booted.sh("dpkg -i /ringfence.deb && ! systemctl is-enabled ringfence-drift.timer").fine();
        let before = root.table();
        let faster = "[Timer]\nOnBootSec=\nOnActiveSec=1s\nOnUnitInactiveSec=1s\nAccuracySec=100ms\n";
        booted.sh(&format!(
            "mkdir -p /etc/systemd/system/ringfence-drift.timer.d && printf '{faster}' >/etc/systemd/system/ringfence-drift.timer.d/faster.conf \
             && systemctl daemon-reload && systemctl enable --now ringfence-drift.timer"
        ))
        .fine();
        run(&["nft", "flush", "ruleset"], "");
        let start = Instant::now();
        while root.table() != before {
            assert!(start.elapsed() < PATIENCE, "{}", booted.log("ringfence-drift.service"));
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = booted.log("ringfence-drift.service");
        assert!(log.contains("DRIFTED: nothing of ringfence was in force"), "{log}");
        booted.sh("dpkg -r ringfence && ! systemctl is-active ringfence-drift.timer").fine();
        booted.sh("dpkg -i /ringfence.deb && systemctl is-active ringfence-drift.timer").fine();
        booted.sh("dpkg -P ringfence").fine();
        booted.sh("systemctl is-active ringfence.service ringfence-drift.timer").ended(3);
        assert_eq!(root.table(), "");
    }
}

#[test]
fn the_figures_of_systemd_analyze_are_no_worse_than_they_were() {
    for unit in
        ["ringfence.service", "ringfence-drift.service", "ringfence-attention.service", "ringfence-watch.service"]
    {
        let path = project().join("packaging/systemd").join(unit);
        // In tenths.
        let command = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=33", "--no-pager"])
            .arg(path)
            .output();
        let ran: Ran = command.expect("systemd-analyze runs").into();
        ran.fine();
    }
}
