#!/usr/bin/env bash
# record.sh ROOTS [HOST…]: dumps of the rules that real programs make, each into a folder of its own beside this file.
# Needs root. ROOTS/SUITE are Debian roots that are changed by it, with the programs installed in them (see `packages`), as
# tests/worlds/root.sh makes them. Each host is set up in a chroot, in network, mount and process namespaces that nothing
# outlives. iptables-persistent and ufw exclude each other: the host of the one takes another root, or another time. No test
# runs it: the dumps are kept, and `packets`, the verdicts, is never touched.
# shellcheck disable=SC2016 # dollars for other programs, and for inner shells
set -eu

packages="nftables iptables ipset iproute2 ufw firewalld iptables-persistent fail2ban shorewall shorewall6 ferm docker.io netavark
 foomuuri libvirt-daemon libvirt-daemon-driver-network libvirt-clients dnsmasq-base"

hosts="
bookworm-ufw bullseye-ufw trixie-ufw bookworm-ufw-limit bookworm-ufw-docker
bookworm-firewalld-nft bullseye-firewalld-nft trixie-firewalld-nft
bookworm-firewalld-iptables trixie-firewalld-iptables bookworm-firewalld-zones
bookworm-fail2ban-iptables trixie-fail2ban-nft
bookworm-nftables-default trixie-nftables-workstation bookworm-nftables-hardened trixie-nftables-hardened bullseye-nftables-hardened
bookworm-script-legacy bullseye-script-nft bookworm-netfilter-persistent
trixie-docker bullseye-docker bookworm-netavark trixie-netavark
bookworm-shorewall bookworm-ferm trixie-foomuuri trixie-libvirt
bookworm-nftables-node-forgotten trixie-nftables-node-output trixie-nftables-node-dnat trixie-nftables-node-maps
trixie-nftables-node-two bookworm-iptables-node-stateless bullseye-iptables-node-rpfilter bookworm-iptables-node-redirect
bullseye-iptables-node-notrack bookworm-iptables-node-marks
"

network() {
    ip link set lo up
    # The far ends are elsewhere, as they are on a real host.
    unshare -n sleep 1000 &
    far=$!
    until [ "$(readlink /proc/$far/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
    ip link add name eth0 type veth peer name eth0 netns $far
    ip link add name eth1 type veth peer name eth1 netns $far
    ip addr add 198.51.100.11/24 dev eth0
    ip addr add 10.20.0.11/24 dev eth1
    ip -6 addr add 2001:db8:1::11/64 dev eth0 nodad
    nsenter --net=/proc/$far/ns/net ip link set eth0 up
    nsenter --net=/proc/$far/ns/net ip link set eth1 up
    ip link set eth0 up
    ip link set eth1 up
    ip route add default via 198.51.100.1
}

bus() {
    mkdir -p /run/dbus
    rm -f /run/dbus/pid /run/dbus/system_bus_socket
    dbus-uuidgen --ensure
    dbus-daemon --system --fork
}

until_true() {
    for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    echo "in vain: $*" >&2
    return 1
}

# A node of the cluster whose administrator wrote the rules by hand, mostly with one mistake.
node() {
    case $1 in
    # Handoff is not among the services.
    forgotten) nft -f - <<'NFT'
define peers = { 10.20.0.12, 10.20.0.13 }
table inet filter {
    chain input { type filter hook input priority 0; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname lo accept
        icmp type echo-request accept
        icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
        tcp dport ssh accept
        iifname eth1 ip saddr $peers tcp dport { 4369, 6000-6009, 8098 } accept comment "riak"
        iifname eth1 ip saddr 10.20.0.50 tcp dport 8098 accept
        log prefix "input: " flags all counter reject with tcp reset
    }
    chain forward { type filter hook forward priority 0; policy drop; }
    chain output { type filter hook output priority 0; policy accept; }
}
NFT
        ;;
    # The way out is closed, too, and knows epmd and distribution alone.
    output) nft -f - <<'NFT'
table inet fw {
    set peers { type ipv4_addr; elements = { 10.20.0.12, 10.20.0.13 }
    }
    set mesh { type inet_service; flags interval; elements = { 4369, 6000-6009 }
    }
    chain base {
        ct state vmap { established : accept, related : accept, invalid : drop }
        meta l4proto { icmp, ipv6-icmp } accept
    }
    chain in { type filter hook input priority filter; policy drop;
        iif lo accept
        jump base
        tcp dport 22 accept
        iifname eth1 ip saddr @peers tcp dport { 4369, 6000-6009, 8098, 8099 } accept
        iifname eth1 ip saddr 10.20.0.50 tcp dport 8098 accept
    }
    chain out { type filter hook output priority filter; policy drop;
        oif lo accept
        jump base
        oifname eth1 ip daddr @peers tcp dport @mesh accept
        oifname eth0 udp dport { 53, 123 } accept
        oifname eth0 tcp dport { 53, 80, 443 } accept
        meta skuid 0 oifname eth1 tcp dport 22 accept
    }
}
NFT
        ;;
    # A proxy in a container took over 8098; what comes on eth1 goes there, and not to Riak.
    dnat) ip link add riak0 type bridge; ip addr add 172.31.0.1/24 dev riak0; ip link set riak0 up; nft -f - <<'NFT'
table inet nat {
    map published { type inet_service : ipv4_addr . inet_service; elements = { 8098 : 172.31.0.2 . 8098, 8443 : 172.31.0.2 . 443 }
    }
    chain prerouting { type nat hook prerouting priority dstnat; policy accept;
        iifname eth1 meta nfproto ipv4 dnat ip to tcp dport map @published
    }
    chain postrouting { type nat hook postrouting priority srcnat; policy accept;
        oifname riak0 masquerade
    }
}
table inet filter {
    chain input { type filter hook input priority filter; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto { icmp, ipv6-icmp } accept
        tcp dport 22 accept
        iifname eth1 ip saddr { 10.20.0.12, 10.20.0.13 } tcp dport { 4369, 6000-6009, 8098, 8099 } accept
        iifname eth0 ip saddr 198.51.100.50 tcp dport 8098 accept
    }
    chain forward { type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname eth1 oifname riak0 ct status dnat accept
    }
}
NFT
        ;;
    # Right in both families, in verdict maps and concatenations.
    maps) ip -6 addr add fd20::11/64 dev eth1 nodad; nft -f - <<'NFT'
table inet riak {
    set peers6 { type ipv6_addr; flags interval; elements = { fd20::12-fd20::13 }
    }
    map who { type ipv4_addr . inet_service : verdict; flags interval;
        elements = { 10.20.0.12-10.20.0.13 . 4369 : accept, 10.20.0.12-10.20.0.13 . 6000-6009 : accept,
            10.20.0.12-10.20.0.13 . 8098-8099 : accept, 10.20.0.50 . 8098 : accept, 10.20.0.66 . 0-65535 : jump refuse }
    }
    chain refuse { counter reject with icmpx port-unreachable; }
    chain eth0-in { tcp dport 22 accept; }
    chain eth1-in {
        tcp dport 22 ip saddr != 10.20.0.66 accept
        ip saddr . tcp dport vmap @who
        ip6 saddr @peers6 tcp dport { 4369, 6000-6009, 8098, 8099 } accept
    }
    chain input { type filter hook input priority filter + 10; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        meta l4proto { icmp, ipv6-icmp } accept
        iifname "veth*" drop
        iifname vmap { "lo" : accept, "eth0" : jump eth0-in, "eth1" : goto eth1-in }
    }
}
NFT
        ;;
    # Two firewalls: a new one for nft, and the one for iptables that everybody forgot. Both have to agree.
    two) ip6tables -P INPUT ACCEPT
        iptables -N CLUSTER
        iptables -A INPUT -i lo -j ACCEPT
        iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
        iptables -A INPUT -i eth1 -p tcp -m multiport --dports 4369,8098,8099 -j CLUSTER
        iptables -A INPUT -p tcp -m comment --comment "since 2014" -j REJECT --reject-with icmp-port-unreachable
        iptables -A CLUSTER -s 10.20.0.12/32 -j ACCEPT
        iptables -A CLUSTER -s 10.20.0.13/32 -j ACCEPT
        nft -f - <<'NFT'
table inet new {
    chain input { type filter hook input priority filter - 5; policy drop;
        ct state established,related accept
        iif lo accept
        meta l4proto { icmp, ipv6-icmp } accept
        tcp dport 22 accept
        ip saddr { 10.20.0.12, 10.20.0.13 } tcp dport { 4369, 6000-6009, 8098, 8099 } accept
        ip saddr 10.20.0.50 tcp dport 8098 accept
        meta nfproto ipv6 tcp dport 8098 accept
    }
}
NFT
        ;;
    # No connection tracking: what is answered is let out by the port that it comes from, and 6000-6009 were forgotten there.
    stateless) update-alternatives --set iptables /usr/sbin/iptables-legacy
        iptables-legacy-restore <<'V4'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp ! --syn -j ACCEPT
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -i eth1 -s 10.20.0.12/31 -p tcp --dport 4369 -j ACCEPT
-A INPUT -i eth1 -s 10.20.0.12/31 -p tcp --dport 6000:6009 -j ACCEPT
-A INPUT -i eth1 -s 10.20.0.12/31 -p tcp --dport 8098:8099 -j ACCEPT
-A INPUT -i eth1 -s 10.20.0.50 -p tcp --dport 8098 -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -p icmp -j ACCEPT
-A OUTPUT -p tcp --sport 22 ! --syn -j ACCEPT
-A OUTPUT -o eth1 -p tcp -m multiport --sports 4369,8098,8099 ! --syn -j ACCEPT
-A OUTPUT -o eth1 -d 10.20.0.12/31 -p tcp -m multiport --dports 4369,6000:6009,8099 -j ACCEPT
COMMIT
V4
        ;;
    # One peer is reached by another way than it comes: a route for a migration that was never taken back.
    rpfilter) ip route add 10.20.0.13/32 via 198.51.100.1 dev eth0
        iptables-restore <<'V4'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -m rpfilter --validmark --invert -j DROP
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -s 10.20.0.12/31 -p tcp -m multiport --dports 4369,6000:6009,8098,8099 -j ACCEPT
-A INPUT -s 10.20.0.50/32 -p tcp -m tcp --dport 8098 -j ACCEPT
COMMIT
V4
        ;;
    # 8098 is closed where it comes from the wire, and open under another number.
    redirect) iptables-restore <<'V4'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:GUARD - [0:0]
-A PREROUTING ! -i lo -p tcp -m multiport --dports 4369,6000:6009,8098,8099 -j GUARD
-A GUARD -s 10.20.0.12/32 -i eth1 -j RETURN
-A GUARD -s 10.20.0.13/32 -i eth1 -j RETURN
-A GUARD -s 10.20.0.50/32 -p tcp -m tcp --dport 8098 -j RETURN
-A GUARD -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 18098 -m comment --comment "old clients" -j REDIRECT --to-ports 8098
-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080
-A OUTPUT -d 10.20.0.13/32 -p tcp -m tcp --dport 8099 -j DNAT --to-destination 10.20.0.12:8099
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 8080 -m conntrack ! --ctstate DNAT -j DROP
COMMIT
V4
        ip6tables-restore <<'V6'
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p ipv6-icmp -j ACCEPT
COMMIT
V6
        ;;
    # A busy service is kept from connection tracking, and what goes out is let out by the state of its connection.
    notrack) iptables-restore <<'V4'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 8098 -j CT --notrack
-A OUTPUT -p tcp -m tcp --sport 8098 -j CT --notrack
-A PREROUTING -p tcp -m tcp --dport 8099 -j CT --notrack
-A OUTPUT -p tcp -m tcp --sport 8099 -j CT --notrack
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -s 10.20.0.12/31 -i eth1 -p tcp -m multiport --dports 4369,6000:6009,8098,8099 -j ACCEPT
-A INPUT -s 10.20.0.50/32 -i eth1 -p tcp -m tcp --dport 8098 -j ACCEPT
-A OUTPUT -o lo -j ACCEPT
-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A OUTPUT -o eth1 -p tcp -m tcp --sport 8099 -m conntrack --ctstate UNTRACKED -j ACCEPT
-A OUTPUT -d 10.20.0.12/31 -o eth1 -p tcp -m conntrack --ctstate NEW -j ACCEPT
-A OUTPUT -o eth0 -p tcp -m multiport --dports 80,443 -m conntrack --ctstate NEW -j ACCEPT
-A OUTPUT -p icmp -j ACCEPT
COMMIT
V4
        ;;
    # Who comes is marked first and judged by the mark; the mark is kept with the connection.
    marks) ipset create riak hash:ip; ipset add riak 10.20.0.12; ipset add riak 10.20.0.13
        ipset create clients hash:net,port; ipset add clients 10.20.0.48/30,tcp:8098
        ipset create banned hash:net counters; ipset add banned 10.20.0.64/28; ipset add banned 10.20.0.70 nomatch
        iptables-restore <<'V4'
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
-A PREROUTING -m mark ! --mark 0x0/0xff -j ACCEPT
-A PREROUTING -i eth1 -m set --match-set riak src -j MARK --set-xmark 0x1/0xff
-A PREROUTING -i eth1 -m set --match-set clients src,dst -j MARK --set-xmark 0x2/0xff
-A PREROUTING -m set --match-set banned src -j MARK --set-xmark 0x4/0xff
-A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m mark --mark 0x4/0x4 -j DROP
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m mark --mark 0x1/0xff -j ACCEPT
-A INPUT -p tcp -m mark --mark 0x2/0xff -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p icmp -m limit --limit 10/sec -j ACCEPT
COMMIT
V4
        ;;
    *) echo "no node $1" >&2; return 1 ;;
    esac
}

# What each host's administrator did: ssh for everybody, 10.20.0.12 and .13 for the whole of Riak, 10.20.0.50 for its HTTP.
set_up() {
    case $1 in
    ufw|ufw-limit)
        update-alternatives --set iptables /usr/sbin/iptables-nft
        cp -f /usr/share/ufw/iptables/*.rules /etc/ufw/ 2>/dev/null || true
        ufw --force reset
        ufw default deny incoming
        case $1 in *limit) ufw limit 22/tcp; ufw logging medium;; *) ufw allow 22/tcp;; esac
        ufw allow in on eth1 from 10.20.0.12 to any
        ufw allow in on eth1 from 10.20.0.13 to any
        ufw allow from 10.20.0.50 to any port 8098 proto tcp
        [ "$1" = ufw ] || ufw allow in on eth1 to any port 6000:6010 proto tcp
        [ "$1" = ufw ] || ufw deny 161/udp
        ufw --force enable ;;
    firewalld-*)
        bus
        back=nftables; case $1 in *iptables) back=iptables;; esac
        sed -i "s/^FirewallBackend=.*/FirewallBackend=$back/" /etc/firewalld/firewalld.conf
        rm -rf /etc/firewalld/zones/* /etc/firewalld/ipsets/* /etc/firewalld/policies/*
        firewall-offline-cmd --set-default-zone=public || true
        firewall-offline-cmd --set-log-denied=off || true
        firewall-offline-cmd --zone=public --remove-service-from-zone=dhcpv6-client || true
        firewall-offline-cmd --zone=public --add-interface=eth0 || true
        firewall-offline-cmd --new-ipset=riak --type=hash:ip
        firewall-offline-cmd --ipset=riak --add-entry=10.20.0.12
        firewall-offline-cmd --ipset=riak --add-entry=10.20.0.13
        firewall-offline-cmd --zone=internal --add-interface=eth1 || true
        firewall-offline-cmd --zone=internal --add-rich-rule='rule family=ipv4 source ipset=riak accept'
        firewall-offline-cmd --zone=internal --add-rich-rule='rule family=ipv4 source address=10.20.0.50 port port=8098 protocol=tcp accept'
        case $1 in *zones)
            firewall-offline-cmd --zone=trusted --add-source=10.20.0.12
            firewall-offline-cmd --zone=drop --add-source=10.20.0.66
            firewall-offline-cmd --set-log-denied=all
            firewall-offline-cmd --zone=public --add-masquerade
            firewall-offline-cmd --zone=public --add-forward-port=port=18098:proto=tcp:toport=8098 ;; esac
        firewalld --nofork --nopid --log-file=/tmp/firewalld.log &
        until_true firewall-cmd --state ;;
    fail2ban-*)
        rm -f /run/fail2ban/* /var/lib/fail2ban/*; mkdir -p /run/fail2ban; : >/var/log/auth.log
        action=iptables-multiport; case $1 in *nft) action=nftables;; esac
        rm -f /etc/fail2ban/jail.d/*
        printf '[DEFAULT]\nbackend = polling\nbanaction = %s\nbanaction_allports = %s\n[sshd]\nenabled = true\nlogpath = /var/log/auth.log\n' "$action" "${action%-*}" >/etc/fail2ban/jail.local
        [ "$action" = nftables ] || sed -i 's/^banaction_allports.*/banaction_allports = iptables-allports/' /etc/fail2ban/jail.local
        printf '[recidive]\nenabled = true\nlogpath = /var/log/auth.log\n' >>/etc/fail2ban/jail.local
        fail2ban-server -b -x --logtarget /dev/null start
        until_true fail2ban-client ping
        fail2ban-client set sshd banip 203.0.113.66
        fail2ban-client set sshd banip 10.20.0.66
        fail2ban-client set recidive banip 203.0.113.77
        until_true sh -c 'nft list ruleset | grep -q 203.0.113.77 || iptables-save | grep -q 203.0.113.77'
        sleep 2 ;;
    nftables-default) nft -f /etc/nftables.conf ;;
    nftables-workstation) nft -f /usr/share/doc/nftables/examples/workstation.nft ;;
    nftables-hardened) nft -f - <<'NFT'
flush ruleset
define peers = { 10.20.0.12, 10.20.0.13 }
table inet firewall {
    set bogons { type ipv4_addr; flags interval; elements = { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 192.0.2.0/24, 224.0.0.0/3 }
    }
    set flood { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 65535;
    }
    chain prerouting { type filter hook prerouting priority raw; policy accept;
        iifname "eth0" ip saddr @bogons counter drop
        tcp flags & (fin|syn) == (fin|syn) counter drop
        fib saddr . iif oif missing counter drop
    }
    chain icmp_in {
        icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } limit rate 20/second accept
        icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    }
    chain input { type filter hook input priority filter; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        iif lo accept
        iifname != "lo" ip daddr 127.0.0.0/8 drop
        meta l4proto { icmp, ipv6-icmp } jump icmp_in
        tcp dport 22 ct state new add @flood { ip saddr limit rate over 10/minute } drop
        tcp dport 22 accept
        iifname "eth1" ip saddr $peers accept
        ip saddr 10.20.0.50 tcp dport { 8087, 8098 } accept
        udp dport { 123, 161 } iifname "eth1" accept
        udp sport 67 udp dport 68 accept
        limit rate 5/minute log prefix "drop: "
        counter reject with icmpx type admin-prohibited
    }
    chain forward { type filter hook forward priority filter; policy drop;
    }
    chain output { type filter hook output priority filter; policy accept;
        oifname "eth0" ip daddr 10.0.0.0/8 reject
    }
}
NFT
        ;;
    script-legacy|script-nft)
        kind=legacy; case $1 in *nft) kind=nft;; esac
        update-alternatives --set iptables /usr/sbin/iptables-$kind
        update-alternatives --set ip6tables /usr/sbin/ip6tables-$kind
        for t in iptables ip6tables; do $t -F; $t -X; $t -P INPUT DROP; $t -P FORWARD DROP; $t -A INPUT -i lo -j ACCEPT; done
        iptables -N LOGDROP
        iptables -A LOGDROP -m limit --limit 3/min -j LOG --log-prefix 'fw: ' --log-level 4
        iptables -A LOGDROP -j DROP
        iptables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
        iptables -A INPUT -p tcp ! --syn -m state --state NEW -j LOGDROP
        iptables -A INPUT -p tcp --tcp-flags ALL NONE -j DROP
        iptables -A INPUT -f -j DROP
        iptables -A INPUT -i eth0 -s 10.0.0.0/8 -j LOGDROP
        iptables -A INPUT -p icmp --icmp-type echo-request -m limit --limit 5/s -j ACCEPT
        iptables -A INPUT -p tcp --dport 22 -m recent --name ssh --update --seconds 60 --hitcount 6 -j DROP
        iptables -A INPUT -p tcp --dport 22 -m recent --name ssh --set -j ACCEPT
        iptables -A INPUT -i eth1 -m iprange --src-range 10.20.0.12-10.20.0.13 -j ACCEPT
        iptables -A INPUT -i eth1 -s 10.20.0.50 -p tcp -m multiport --dports 8087,8098 -j ACCEPT
        iptables -A INPUT -p udp -m multiport --dports 123,161 -i eth1 -j ACCEPT
        iptables -A INPUT -m pkttype --pkt-type broadcast -j DROP
        iptables -A INPUT -j LOGDROP
        iptables -t nat -A POSTROUTING -o eth0 -s 10.20.0.0/24 -j MASQUERADE
        ip6tables -A INPUT -m state --state ESTABLISHED,RELATED -j ACCEPT
        ip6tables -A INPUT -p ipv6-icmp -j ACCEPT
        ip6tables -A INPUT -p tcp --dport 22 -j ACCEPT ;;
    netfilter-persistent)
        ipset create riak hash:ip; ipset add riak 10.20.0.12; ipset add riak 10.20.0.13
        ipset create clients hash:ip,port; ipset add clients 10.20.0.50,tcp:8098
        cat >/etc/iptables/rules.v4 <<'V4'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m hashlimit --hashlimit-upto 10/min --hashlimit-burst 10 --hashlimit-mode srcip --hashlimit-name ssh -j ACCEPT
-A INPUT -i eth1 -m set --match-set riak src -j ACCEPT
-A INPUT -i eth1 -m set --match-set clients src,dst -j ACCEPT
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
COMMIT
V4
        printf '*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p ipv6-icmp -j ACCEPT\nCOMMIT\n' >/etc/iptables/rules.v6
        netfilter-persistent start ;;
    docker)
        rm -rf /var/run/docker* /var/lib/docker/* /var/lib/containerd/*
        mkdir -p /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || true
        containerd >/dev/null 2>&1 &
        until_true test -S /run/containerd/containerd.sock
        dockerd --storage-driver=vfs --containerd /run/containerd/containerd.sock >/tmp/dockerd.log 2>&1 &
        until_true docker version
        docker network create --subnet 172.30.0.0/24 back
        mkdir -p /tmp/image; cp -f "$(command -v sleep)" /tmp/image/
        for lib in $(ldd /tmp/image/sleep | grep -o '/[^ ]*'); do mkdir -p "/tmp/image$(dirname "$lib")"; cp -L "$lib" "/tmp/image$lib"; done
        tar -C /tmp/image -c . | docker import - tiny
        docker run -d --name web -p 8080:80 tiny /sleep 600
        docker run -d --name riak --network back -p 10.20.0.11:18098:8098 tiny /sleep 600
        docker ps ;;
    netavark)
        ip netns add web
        cat >/tmp/net.json <<'JSON'
{"container_id":"8f5c2d1e0a9b47c6","container_name":"web","port_mappings":[{"container_port":80,"host_ip":"","host_port":8080,"protocol":"tcp","range":1},{"container_port":8098,"host_ip":"10.20.0.11","host_port":18098,"protocol":"tcp","range":1}],
"networks":{"podman":{"static_ips":["10.88.0.5"],"interface_name":"eth0"}},
"network_info":{"podman":{"dns_enabled":false,"driver":"bridge","id":"2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9","internal":false,"ipv6_enabled":false,"name":"podman","network_interface":"podman0","subnets":[{"gateway":"10.88.0.1","subnet":"10.88.0.0/16"}],"ipam_options":{"driver":"host-local"}}}}
JSON
        $(command -v netavark || echo /usr/lib/podman/netavark) --config /run/netavark setup /run/netns/web </tmp/net.json ;;
    shorewall)
        for v in '' 6; do
            cp -f /usr/share/shorewall$v/configfiles/shorewall$v.conf /etc/shorewall$v/ 2>/dev/null || true
        done
        printf 'fw firewall\nnet ipv4\nloc ipv4\n' >/etc/shorewall/zones
        printf '?FORMAT 2\nnet eth0 tcpflags,nosmurfs,logmartians\nloc eth1 tcpflags,nosmurfs\n' >/etc/shorewall/interfaces
        printf '$FW all ACCEPT\nnet all DROP info\nloc all REJECT info\n' >/etc/shorewall/policy
        printf '?SECTION NEW\nACCEPT all $FW tcp 22\nACCEPT loc:10.20.0.12,10.20.0.13 $FW\nACCEPT loc:10.20.0.50 $FW tcp 8087,8098\nPing(ACCEPT) all $FW\n' >/etc/shorewall/rules
        shorewall start ;;
    ferm)
        cat >/tmp/ferm.conf <<'FERM'
domain (ip ip6) table filter {
    chain INPUT { policy DROP;
        mod state state INVALID DROP;
        mod state state (ESTABLISHED RELATED) ACCEPT;
        interface lo ACCEPT;
        proto tcp dport ssh ACCEPT;
    }
    chain OUTPUT policy ACCEPT;
    chain FORWARD policy DROP;
}
domain ip table filter chain INPUT {
    proto icmp ACCEPT;
    interface eth1 saddr (10.20.0.12 10.20.0.13) ACCEPT;
    interface eth1 saddr 10.20.0.50 proto tcp dport (8087 8098) ACCEPT;
    proto udp dport (123 161) saddr ! 10.20.0.0/24 DROP;
    proto tcp REJECT reject-with tcp-reset;
}
domain ip6 table filter chain INPUT proto ipv6-icmp ACCEPT;
FERM
        ferm /tmp/ferm.conf ;;
    foomuuri)
        cat >/etc/foomuuri/riak.conf <<'FOO'
zone {
  localhost
  public eth0
  internal eth1
}
public-localhost {
  ssh
  drop log
}
internal-localhost {
  ssh
  saddr 10.20.0.12 10.20.0.13 accept
  tcp 8087 8098 saddr 10.20.0.50
  reject log
}
localhost-public {
  accept
}
localhost-internal {
  accept
}
FOO
        mkdir -p /run/foomuuri /var/lib/foomuuri
        foomuuri start ;;
    libvirt)
        bus
        mkdir -p /var/log/libvirt /run/libvirt; rm -f /run/libvirt/*pid /run/*.pid
        virtlogd -d || true
        libvirtd -d || virtnetworkd -d
        until_true virsh -c network:///system net-list || until_true virsh net-list
        cat >/tmp/default.xml <<'XML'
<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on' delay='0'/><ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip></network>
XML
        virsh -c network:///system net-destroy default || true
        virsh -c network:///system net-create /tmp/default.xml ;;
    ufw-docker) set_up ufw; set_up docker ;;
    nftables-node-*|iptables-node-*) node "${1#*-node-}" ;;
    *) echo "no recipe for $1" >&2; return 1 ;;
    esac
}

# Without dates and without counters of packets.
clean() { sed -E '/^# (Completed|Table)/d; s|^(# Generated by [^ ]+ v[0-9.]+).*|\1|; s/\[[0-9]+:[0-9]+\]/[0:0]/'; }

# The tables of iptables-nft once more, as nft sees them, say less than iptables-save.
without_tables_of_iptables() { awk '/^table ip6? (filter|nat|mangle|raw|security) \{/ { skip = 1 } !skip { print } /^\}/ { skip = 0 }'; }

# In the chroot and in namespaces of its own: sets up a host and writes down what the kernel then holds.
inside() {
    suite=${1%%-*} program=${1#*-}
    export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
    network
    update-alternatives --set iptables /usr/sbin/iptables-nft
    update-alternatives --set ip6tables /usr/sbin/ip6tables-nft
    set_up "$program"
    variant=nft
    case $program in script-legacy|ferm|*-stateless) variant=legacy;; esac
    rm -rf /tmp/out && mkdir /tmp/out
    case $program in
    *firewalld-nft|*fail2ban-nft|nftables-*|foomuuri|firewalld-zones)
        case $program in *-two) ;; *) nft list ruleset | sed -E 's/packets [0-9]+ bytes [0-9]+/packets 0 bytes 0/' >/tmp/out/nft;; esac ;;
    esac
    if [ ! -f /tmp/out/nft ]; then
        save=save; [ $variant = nft ] || save=$variant-save
        for t in ip ip6; do "${t}tables-$save" | clean >/tmp/out/${t}tables; done
        nft list ruleset | without_tables_of_iptables >/tmp/out/nft
    fi
    ipset save >/tmp/out/ipset 2>/dev/null || true
    # The far ends of the cables and the machine's own addresses are no part of the host.
    { ip rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; ip addr; } | sed -E '
        s/ link\/ether [0-9a-f:]+ / link\/ether 02:00:00:00:00:01 /; s/fe80::[0-9a-f:]*[0-9a-f]\/64/fe80::1\/64/
        /^local fe80::/d; s/^([0-9]+: [^ :@]+)@[^:]*:/\1:/; s/ link-netnsid [0-9]+$//; s/ tentative//; s/ +$//' >/tmp/out/routes
    for t in iptables ip6tables; do grep -lE '^-A|^:[A-Z]+ DROP' /tmp/out/$t >/dev/null 2>&1 || rm -f /tmp/out/$t; done
    find /tmp/out -empty -delete
    package=${program%%-*}
    also=
    case $program in ufw-docker) also=" and docker.io $(dpkg-query -W -f '${Version}' docker.io)";; esac
    case $package in script) package=iptables;; netfilter) package=iptables-persistent;; docker) package=docker.io;; libvirt) package=libvirt-daemon;; esac
    {
        echo "program: $package $(dpkg-query -W -f '${Version}' "$package")$also, with nft $(dpkg-query -W -f '${Version}' nftables) and iptables $(dpkg-query -W -f '${Version}' iptables)"
        echo "system: Debian $(cat /etc/debian_version) ($suite), Linux $(uname -r | sed 's/-.*//')"
        echo "date: $(date +%F)"
        echo "set up by: record.sh, \`$program\`, in a chroot with veth interfaces"
        [ $variant = nft ] || echo "iptables: $variant"
    } >/tmp/out/origin
}

if [ "$1" = inside ]; then
    inside "$2"
    exit
fi
here=$(cd "$(dirname "$0")" && pwd)
roots=$1
shift
# shellcheck disable=SC2086 # a list of names
[ $# -gt 0 ] || set -- $hosts
for host in "$@"; do
    root=$roots/${host%%-*}
    [ -d "$root" ] || { echo "$host: no root $root (packages: $packages)"; continue; }
    rm -rf "$root/tmp/out"
    cp "$here/record.sh" "$root/tmp/record.sh"
    if timeout "${PATIENCE:-100}" unshare -n -m -p -f --kill-child bash -c '
        mount --make-rprivate / && mount --bind "$1" "$1" && cd "$1" && mkdir -p dev proc sys run &&
        mount -t proc none proc && mount -t sysfs none sys && mount --rbind /dev dev && mount -t tmpfs none run &&
        mkdir -p run/lock run/netns tmp/old && pivot_root . tmp/old && umount -l /tmp/old && exec chroot / /bin/bash /tmp/record.sh inside "$2"
    ' _ "$root" "$host" >"$roots/$host.log" 2>&1 && [ -f "$root/tmp/out/origin" ]; then
        mkdir -p "$here/$host"
        for part in nft iptables ip6tables ipset routes origin; do
            rm -f "$here/$host/$part"
            [ ! -f "$root/tmp/out/$part" ] || cp "$root/tmp/out/$part" "$here/$host/$part"
        done
        echo "$host: $(wc -l "$here/$host"/* | tail -n 1)"
    else
        echo "$host: FAILED: $(tail -n 2 "$roots/$host.log" | tr '\n' ' ')"
    fi
done
