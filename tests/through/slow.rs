//! Other firewalls that take longer than anybody waits for them.

use std::fs;

use super::commands::{CONFIG, STATE, cluster, filter, load_iptables, ringfence};
use super::stage::{Machine, PEER, alone, assert_same, files, shell, tried};

/// `ringfence` with these programs before all others: what it says, and how it ends.
fn with(programs: &[&str], text: &str, arguments: &str) -> String {
    fs::create_dir_all("/run/bin").unwrap();
    for program in programs {
        fs::write(format!("/run/bin/{program}"), text).unwrap();
    }
    shell("chmod +x /run/bin/*");
    let bin = env!("CARGO_BIN_EXE_ringfence");
    tried(&format!("PATH=/run/bin:$PATH {bin} {arguments} --state-dir {STATE} 2>&1; echo ended with $?")).unwrap()
}

/// Is told so slowly that the watchdog has taken the change back by then.
const SLOW: &str = "#!/bin/sh
text=$(cat)
case \"$text\" in *\"-I INPUT\"*)
	for _ in $(seq 600); do find /run -name taken-back | grep -q . && touch /run/slow && break; sleep 0.1; done
esac
printf '%s\\n' \"$text\" | exec /usr/sbin/iptables-nft-restore \"$@\"
";

#[test]
fn what_is_let_through_after_the_watchdog_took_the_change_back_goes() {
    alone("slow::what_is_let_through_after_the_watchdog_took_the_change_back_goes", |machine: Machine| {
        load_iptables("nft");
        let before = filter("nft");
        cluster("iptables", false, "");
        let apply = format!("apply {CONFIG} --backend nft --confirm-within 1s");
        let said = with(&["iptables-nft-restore", "iptables-restore"], SLOW, &apply);
        assert!(fs::exists("/run/slow").unwrap(), "{said}");
        assert!(said.contains("its watchdog has taken it back") && said.contains("ended with 6"), "{said}");
        assert_eq!(filter("nft"), before);
        assert!(!machine.reaches(PEER[0], 8098));
        ringfence(&format!("status {CONFIG}")).ended(4).says("was taken back");
    });
}

/// Its client has had no answer in 25 seconds, and a moment later all is done.
const LATE: &str = "#!/bin/sh
case \" $* \" in
*' --reload '*)
	if [ ! -e /run/late ]; then
		touch /run/late
		(sleep 5; /usr/bin/firewall-cmd --reload; touch /run/done) >/dev/null 2>&1 </dev/null &
		echo 'Error: Did not receive a reply. Possible causes include: the reply timeout expired' >&2
		exit 254
	fi ;;
*' --state '*)
	[ ! -e /run/late ] || [ -e /run/done ] || { sleep 0.2; exit 252; } ;;
esac
exec /usr/bin/firewall-cmd \"$@\"
";

#[test]
fn a_reload_that_its_client_has_not_waited_for_is_waited_for() {
    alone("slow::a_reload_that_its_client_has_not_waited_for_is_waited_for", |mut machine: Machine| {
        machine.start_firewalld();
        let before = files("/etc/firewalld");
        cluster("firewalld", false, "");
        let said = with(&["firewall-cmd"], LATE, &format!("apply {CONFIG}"));
        assert!(fs::exists("/run/done").unwrap() && said.contains("ended with 0"), "{said}");
        machine.assert_through("after apply");
        ringfence("remove").ended(0);
        assert_same(&before, &files("/etc/firewalld"));
    });
}
