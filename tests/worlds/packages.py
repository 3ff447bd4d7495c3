"""Packages under that release's own systemd: booted, upgraded from release 0.1.0 in force, and back.

The machine itself is the host here; its wire is a namespace as elsewhere.
"""

import os

import basics
from lab import COMES, FOLDER, HOST, LEAVES, Failed, Machine, cluster, sh
from load import Hammer

CONFIG = "/etc/ringfence/cluster.toml"
# What is done before systemd starts: the package is installed, as an image would be, and nothing of it is in force.
BEFORE = """set -e
ip link add eth1 type veth peer name far1; ip link set eth1 up; ip link set far1 up
ip addr add 10.20.0.11/24 dev eth1; ip addr add fd20::11/64 dev eth1 nodad
mkdir -p /etc/ringfence
cat >/etc/ringfence/cluster.toml <<'C'
{cluster}
C
dpkg --force-unsafe-io -i {deb} >/tmp/dpkg.log 2>&1 || {{ cat /tmp/dpkg.log; exit 1; }}
ringfence status >/dev/null || {{ cat /tmp/dpkg.log; echo 'not in force after the installation'; }}
nft flush ruleset
"""


class Host(Machine):
    """This whole machine, with systemd."""

    def __init__(self, backend):
        sh("ip link del eth1", check=False)
        super().__init__("/usr/bin/ringfence", backend)
        # The program of the package is to find what it would find on such a host.
        variant = "nft" if backend == "nft" else backend.split("-")[1]
        for tool in ("iptables", "ip6tables"):
            sh(f"update-alternatives --set {tool} /usr/sbin/{tool}-{variant}")

    def make_namespace(self, name):
        sh(f"ip netns attach {name} 1" if name == HOST else f"ip netns add {name}")

    def end_namespace(self, name):
        if name == HOST:
            sh(f"umount /run/netns/{name}; rm -f /run/netns/{name}; ip link del eth1", check=False)
        else:
            super().end_namespace(name)

    def arguments(self, arguments):
        words = [os.path.join(FOLDER, word) if word.endswith(".toml") else word for word in arguments.split()]
        if words[0] == "apply":
            words += ["--backend", self.backend.split("-")[0]]
        return " ".join(words)

    def install(self, deb):
        with open(CONFIG, "w") as file:
            file.write(cluster(13))
        code, said = sh(f"DEBIAN_FRONTEND=noninteractive dpkg --force-unsafe-io -i {deb}", check=False)
        if code:
            raise Failed(f"dpkg ended with {code}: {said}")
        return said

    def holds(self):
        """What the installed version calls enforced is so, for packets."""
        self.run(f"status {CONFIG}", 0, "enforced")
        basics.members(self, COMES, LEAVES)
        active = sh("systemctl is-active ringfence.service", check=False)[1].strip()
        if active != "active":
            raise Failed(f"ringfence.service is {active}: {sh('journalctl --no-pager -n 20 -u ringfence.service', check=False)[1]}")


def booted():
    """What systemd made of it before anybody came."""
    active = sh("systemctl is-active ringfence.service", check=False)[1].strip()
    state, said = sh("ringfence status", check=False)
    if active != "active" or state:
        raise Failed(f"ringfence.service is {active}, status {state}: {said} "
                     f"{sh('journalctl --no-pager -n 30 -u ringfence.service', check=False)[1]}")
    with Host("nft") as host:
        host.holds()
    return sh("systemctl --version", check=False)[1].split("(")[0].strip()


def upgrade(backend, old, new):
    """From the release in force to this version."""
    with Host(backend) as host:
        sh("dpkg -P ringfence", check=False)
        host.install(old)
        host.run(f"apply {CONFIG}", 0)
        host.holds()
        hammer = Hammer(host)
        try:
            host.install(new)
        finally:
            said = hammer.stop()
        host.holds()
        return said


def upgrade_while_a_change_waits(backend, old, new):
    """A change that the release made, and nobody has confirmed: it can be taken back by the new version."""
    with Host(backend) as host:
        sh("dpkg -P ringfence", check=False)
        host.install(old)
        host.run(f"apply {CONFIG}", 0)
        host.run("apply --confirm-within 600s b.toml", 0, "NOT CONFIRMED")
        said = host.install(new)
        waits = os.path.exists("/run/ringfence/pending")
        code, rolled = host.run("rollback") if waits else (None, "")
        if waits and code:
            raise Failed(f"rollback ended with {code}: {rolled}; the upgrade said: {said}")
        basics.members(host, COMES, LEAVES)
        host.run(f"apply {CONFIG}", 0)
        host.holds()
        return f"the change {'still waited, and was taken back' if waits else 'waited no more'}"


def downgrade(backend, old, new):
    """And back to the release."""
    with Host(backend) as host:
        sh("dpkg -P ringfence", check=False)
        host.install(new)
        host.run(f"apply {CONFIG}", 0)
        host.holds()
        hammer = Hammer(host)
        try:
            host.install(old)
        finally:
            said = hammer.stop()
        host.holds()
        return said


def purge(backend, new):
    with Host(backend) as host:
        host.install(new)
        host.run(f"apply {CONFIG}", 0)
        sh("dpkg -P ringfence")
        left = sh("nft list ruleset; for p in iptables ip6tables; do $p-legacy-save; $p-nft-save; done; ipset list -n; "
                  "cat /proc/sys/net/ipv4/ip_local_reserved_ports; ls -d /var/lib/ringfence /run/ringfence /etc/sysctl.d/60-ringfence.conf",
                  check=False)[1]
        for line in left.splitlines():
            if ("ringfence" in line.lower() and "No such file" not in line) or line[:1].isdigit():
                raise Failed(f"left: {line}")
