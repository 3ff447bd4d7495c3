"""The other firewalls of a host, each set up as its admin would, for the rows of `through.py`."""

# Before systemd starts: an image with the other firewall and the package, neither of them in force.
WIRE = """
ip link add eth1 type veth peer name far1; ip link set eth1 up; ip link set far1 up
ip addr add 10.20.0.11/24 dev eth1; ip addr add fd20::11/64 dev eth1 nodad
"""
INSTALL = """
dpkg --force-unsafe-io -i {deb} >/tmp/dpkg.log 2>&1 || {{ cat /tmp/dpkg.log; exit 1; }}
nft flush ruleset
"""

FIREWALLD = """
cat >/etc/firewalld/zones/public.xml <<'X'
<?xml version="1.0" encoding="utf-8"?>
<zone>
  <short>Public</short>
  <service name="ssh"/>
  <port port="9999" protocol="tcp"/>
  <rule family="ipv4">
    <source address="192.0.2.7"/>
    <reject/>
  </rule>
</zone>
X
cat >/etc/firewalld/zones/work.xml <<'X'
<?xml version="1.0" encoding="utf-8"?>
<zone>
  <short>Work</short>
  <source address="198.51.100.0/24"/>
  <service name="ssh"/>
</zone>
X
mkdir -p /etc/firewalld/ipsets
cat >/etc/firewalld/ipsets/office.xml <<'X'
<?xml version="1.0" encoding="utf-8"?>
<ipset type="hash:net">
  <entry>203.0.113.0/24</entry>
</ipset>
X
systemctl enable firewalld.service >/dev/null 2>&1
"""

UFW = """
ufw default deny incoming >/dev/null
ufw limit 22/tcp >/dev/null
ufw allow 9999/tcp >/dev/null
ufw deny from 192.0.2.7 >/dev/null
ufw --force enable >/dev/null
systemctl enable ufw.service >/dev/null 2>&1
iptables-nft -F; iptables-nft -X
"""

NFTABLES = """
cat >/etc/nftables.conf <<'N'
#!/usr/sbin/nft -f
flush ruleset
table inet filter {
	set banned {
		type ipv4_addr
		flags interval
		elements = { 192.0.2.0/24 }
	}
	chain input {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif lo accept
		ip saddr @banned drop
		meta l4proto { icmp, ipv6-icmp } accept
		tcp dport { 22, 9999 } accept
		counter
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
	}
}
N
systemctl enable nftables.service >/dev/null 2>&1
"""

# A script of ten years ago, saved. ufw's package goes first: the two exclude each other.
IPTABLES = """
dpkg -P ufw >/dev/null 2>&1
DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i /var/cache/through/*.deb >/dev/null 2>&1
for family in "4 icmp" "6 ipv6-icmp"; do
  set -- $family
  cat >/etc/iptables/rules.v$1 <<I
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:LOGDROP - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p $2 -j ACCEPT
-A INPUT -p tcp -m multiport --dports 22,9999 -j ACCEPT
-A INPUT -j LOGDROP
-A LOGDROP -m limit --limit 5/min -j LOG --log-prefix "dropped: "
-A LOGDROP -j DROP
COMMIT
I
done
systemctl enable netfilter-persistent.service >/dev/null 2>&1
"""

# Nobody but root edits at runtime what ringfence has put there.
FROM_FIREWALLD = ("firewall-cmd --policy=ringfence --list-rich-rules | "
                  "while read -r rule; do firewall-cmd --policy=ringfence --remove-rich-rule=\"$rule\"; done")
FROM_UFW = "ufw show added | sed -n \"s/^ufw allow \\(.*\\) comment 'ringfence: .*/ufw --force delete allow \\1/p\" | sh"
FROM_NFT = ("nft -a list chain inet filter input | sed -n 's/.*jump open-ringfence-in.* # handle //p' | "
            "while read -r handle; do nft delete rule inet filter input handle $handle; done")
FROM_IPTABLES = ("for tool in iptables ip6tables; do "
                 "$tool -S INPUT | sed -n \"/-[jg] open-ringfence/s/^-A/$tool -D/p\" | sh; done")
SAVED = "iptables-restore </etc/iptables/rules.v4; ip6tables-restore </etc/iptables/rules.v6"


class Program:
    """One of them: how it is set up, what it is asked, and whether an opening is kept by it (or brought back by ours)."""

    def __init__(self, setup, unit, files, take, keeps, commands):
        self.setup, self.unit, self.files, self.take, self.keeps, self.commands = setup, unit, files, take, keeps, commands


PROGRAMS = {
    "firewalld": Program(FIREWALLD, "firewalld.service", ["/etc/firewalld"], FROM_FIREWALLD, True, {
        "reload": ["firewall-cmd --reload", "systemctl reload firewalld.service"],
        "off_and_on": ["systemctl stop firewalld.service; systemctl start firewalld.service", "firewall-cmd --complete-reload"],
        # What is in its files is gone, and so is what it has loaded.
        "edited": ["rm /etc/firewalld/policies/ringfence.xml; firewall-cmd --reload"]}),
    "ufw": Program(UFW, "ufw.service", ["/etc/ufw", "/var/lib/ufw", "/etc/default/ufw"], FROM_UFW, True, {
        "reload": ["ufw reload"],
        "off_and_on": ["ufw disable; ufw --force enable", "systemctl stop ufw.service; systemctl start ufw.service"],
        "edited": ["ufw allow 2222/tcp; ufw deny from 198.51.100.9; ufw --force delete allow 2222/tcp; "
                   "ufw --force delete deny from 198.51.100.9"]}),
    "nftables": Program(NFTABLES, "nftables.service", ["/etc/nftables.conf"], FROM_NFT, False, {
        "reload": ["systemctl reload nftables.service", "nft -f /etc/nftables.conf"],
        "off_and_on": ["systemctl stop nftables.service; systemctl start nftables.service"],
        "edited": ["nft flush ruleset; nft -f /etc/nftables.conf"]}),
    "iptables": Program(IPTABLES, "netfilter-persistent.service", ["/etc/iptables"], FROM_IPTABLES, False, {
        "reload": ["netfilter-persistent reload", SAVED],
        "off_and_on": ["netfilter-persistent flush; netfilter-persistent start"],
        "edited": ["iptables -A INPUT -s 192.0.2.9 -j DROP; iptables -D INPUT -s 192.0.2.9 -j DROP"]}),
}


def before(name, start, deb):
    """What is done before systemd starts, for the first time or again."""
    if start > 1:
        return WIRE
    return "set -e\n" + WIRE + PROGRAMS[name].setup.replace("\\", "\\\\") + INSTALL.format(deb=deb)
