//! Where there is nothing to change: images that are built on a machine, and containers without rights.

use super::in_a_root;
use super::lab::netns::run;
use super::root::{CONFIG, Root, small};

/// Rules of the machine that builds the image, by our own name.
const OF_THE_MACHINE: &str =
    "table inet ringfence { chain x { type filter hook input priority 0; tcp dport 7 drop; }; }";

/// Installs, calls the hooks, removes and purges, and changes nothing on the machine.
#[track_caller]
fn leaves_the_machine_alone(run_there: impl Fn(&str) -> super::root::Ran) {
    let (before, ports) = (run(&["nft", "-s", "list", "ruleset"], ""), reserved());
    run_there("dpkg -i /ringfence.deb").fine().says("nothing was changed: ");
    run_there("ringfence hook post-install").fine().says("nothing was changed: ");
    run_there("ringfence hook check").fine();
    run_there("readlink /etc/systemd/system/multi-user.target.wants/ringfence.service").fine();
    run_there("dpkg -r ringfence").fine();
    run_there("dpkg -i /ringfence.deb && dpkg -P ringfence").fine();
    run_there("mkdir -p /var/lib/ringfence && dpkg -i /ringfence.deb && dpkg -P ringfence").fine();
    assert_eq!(run(&["nft", "-s", "list", "ruleset"], ""), before);
    assert_eq!(reserved(), ports);
}

fn reserved() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports").expect("this thread's list")
}

fn prepared(root: &Root) {
    root.write(CONFIG, &small());
    run(&["nft", "-f", "-"], OF_THE_MACHINE);
}

in_a_root! {
    fn an_image_without_proc(root) {
        prepared(root);
        root.write("/run/ringfence/machines", "");
        leaves_the_machine_alone(|script| root.sh_in_image(false, script));
        // An image's /run may be the machine's.
        root.sh("ls /run/ringfence/machines").fine();
    }

    fn an_image_with_the_machines_proc(root) {
        prepared(root);
        root.write("/run/ringfence/machines", "");
        leaves_the_machine_alone(|script| root.sh_in_image(true, script));
        root.sh("ls /run/ringfence/machines").fine();
    }

    fn a_broken_file_in_an_image_is_said(root) {
        root.write(CONFIG, "[cluster");
        root.sh_in_image(true, "dpkg -i /ringfence.deb").fine().says("cluster.toml:1").says("this is a chroot");
    }

    fn a_container_without_the_right(root) {
        prepared(root);
        let without = |script: &str| {
            root.write("/script.sh", script);
            root.sh("setpriv --bounding-set=-net_admin --inh-caps=-net_admin sh -e /script.sh")
        };
        leaves_the_machine_alone(without);
    }
}
