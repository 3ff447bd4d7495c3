//! Edits of the kernel's state and of the cluster file, each with the kinds of work that it makes.

use std::fs;

use super::host::Host;
use super::netns::{attempt, sysctl};

const PORTS: &str = "net.ipv4.ip_local_reserved_ports";

/// An edit, and the kinds of work that it makes.
pub struct Edit {
    pub name: &'static str,
    pub make: fn(&Host),
    pub kinds: &'static [&'static str],
}

pub fn nft(script: &str) {
    // What an edit before it took away cannot be changed; then there is one edit less.
    let _ = attempt(&["nft", "-f", "-"], script);
}

pub const OF_THE_FILE: [Edit; 6] = [
    Edit { name: "a remark", make: |host| host.edit(|text| format!("# a remark\n\n{text}")), kinds: &[] },
    Edit {
        name: "another name of the client",
        make: |host| host.edit(|text| text.replace("\"web\"", "\"momentum\"")),
        kinds: &[],
    },
    Edit {
        name: "log",
        make: |host| {
            host.edit(|text| if text.contains("[guard]") { text } else { text + "[guard]\nlog = true\n" });
        },
        kinds: &["behaviour"],
    },
    Edit {
        name: "no log",
        make: |host| host.edit(|text| text.replace("[guard]\nlog = true\n", "")),
        kinds: &["behaviour"],
    },
    Edit {
        name: "a node more",
        make: |host| {
            let more = ", \"riak@10.20.0.14\"";
            host.edit(|text| match text.contains(more) {
                true => text.replace(more, ""),
                false => text.replace("\"riak@10.20.0.13\"", &format!("\"riak@10.20.0.13\"{more}")),
            });
        },
        kinds: &["meaning"],
    },
    Edit {
        name: "another port",
        make: |host| host.edit(|text| text.replace("6000-6009", "6000-6019")),
        kinds: &["meaning", "reserved-ports"],
    },
];

pub const OF_PORTS: [Edit; 2] = [
    Edit { name: "no reserved ports", make: |_| sysctl(PORTS, "\n"), kinds: &["reserved-ports"] },
    Edit {
        name: "no file",
        make: |host| fs::remove_file(host.path("root/etc/sysctl.d/60-ringfence.conf")).unwrap_or_default(),
        kinds: &["reserved-ports"],
    },
];

pub const OF_NFT: [Edit; 12] = [
    Edit { name: "a stranger", make: |_| nft("add element inet ringfence peers4 { 192.0.2.1 }"), kinds: &["meaning"] },
    Edit {
        name: "a peer less",
        make: |_| nft("delete element inet ringfence peers4 { 10.20.0.12 }"),
        kinds: &["meaning"],
    },
    Edit {
        name: "a port less",
        make: |_| nft("delete element inet ringfence protected { 8098 }"),
        kinds: &["meaning"],
    },
    Edit {
        name: "all let in",
        make: |_| nft("insert rule inet ringfence input accept"),
        kinds: &["meaning", "foreign-rules"],
    },
    Edit {
        name: "something unknown",
        make: |_| nft("insert rule inet ringfence admit meta mark 7 return"),
        kinds: &["meaning", "foreign-rules"],
    },
    Edit { name: "a counter", make: |_| nft("insert rule inet ringfence input counter"), kinds: &["foreign-rules"] },
    Edit {
        name: "a line in the log",
        make: |_| nft("insert rule inet ringfence input log prefix \"x\""),
        kinds: &["foreign-rules"],
    },
    Edit { name: "a chain emptied", make: |_| nft("flush chain inet ringfence block"), kinds: &["meaning"] },
    Edit {
        name: "a table that sleeps",
        make: |_| nft("add table inet ringfence { flags dormant; }"),
        kinds: &["meaning"],
    },
    Edit { name: "nothing left", make: |_| nft("flush ruleset"), kinds: &["meaning"] },
    Edit {
        name: "somebody's own table",
        make: |_| {
            nft(
                "table inet other { chain in { type filter hook input priority 0; tcp dport 22 accept; udp dport 53 drop; }; }",
            )
        },
        kinds: &[],
    },
    Edit {
        name: "peers shut out",
        make: |_| {
            nft("table inet other { chain shut { type filter hook input priority 5; ip saddr 10.20.0.12 drop; }; }")
        },
        kinds: &[],
    },
];

pub fn iptables(arguments: &str) {
    let words: Vec<&str> = ["iptables", "-w"].into_iter().chain(arguments.split(' ')).collect();
    let _ = attempt(&words, "");
}

pub const OF_IPTABLES: [Edit; 7] = [
    Edit { name: "no jump", make: |_| iptables("-t raw -D PREROUTING -j RINGFENCE"), kinds: &["meaning"] },
    Edit {
        name: "all let in",
        make: |_| iptables("-t mangle -I RINGFENCE -j ACCEPT"),
        kinds: &["meaning", "foreign-rules"],
    },
    Edit {
        name: "one passes by",
        make: |_| iptables("-t mangle -I INPUT -s 192.0.2.1 -j ACCEPT"),
        kinds: &["foreign-rules"],
    },
    Edit {
        name: "something is diverted",
        make: |_| iptables("-t mangle -A INPUT -p tcp -j MARK --set-mark 7"),
        kinds: &[],
    },
    Edit {
        name: "containers",
        make: |_| iptables("-t raw -A PREROUTING -d 172.18.0.2/32 ! -i br-4f1d2c3b5a69 -j DROP"),
        kinds: &[],
    },
    Edit {
        name: "a queue",
        make: |_| iptables("-t mangle -A INPUT -p tcp --dport 8098 -j NFQUEUE --queue-num 3"),
        kinds: &[],
    },
    Edit { name: "a chain emptied", make: |_| iptables("-t mangle -F RINGFENCE"), kinds: &["meaning"] },
];
