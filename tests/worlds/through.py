"""Through the other firewalls of a host: their own programs, that release's systemd, the units of the package as they are shipped,
and more than one start of the machine.

Nothing but those units brings anything back here. The machine itself is the host; its wire is a namespace as elsewhere.
"""

import hashlib
import json
import os
import time

import basics
from firewalls import PROGRAMS
from lab import COMES, LEAVES, PEER, STRANGER, Failed, cluster, sh, text_of
from packages import CONFIG, Host

PATIENCE = float(os.environ.get("PATIENCE") or 1)
# So many seconds a unit may take to bring something back. An emulated machine needs seconds for every word to firewalld.
SOON = 120 * PATIENCE
# What was there before the first `apply`, for a machine that has started again since.
BEFORE = "/var/lib/worlds-through.json"
GUARD = '[guard]\nopen-through = "auto"\n'
# Listened on, and guarded by nobody: the other firewall's own affair, which an opening must not touch.
THEIRS = 18098


class Guarded(Host):
    """This machine with another firewall on it."""

    def __init__(self, name):
        self.name, self.of = name, PROGRAMS[name]
        super().__init__("iptables-nft" if name == "iptables" else "nft")
        self.idle()

    def arguments(self, arguments):
        return arguments

    def host(self, command, check=True):
        # The program of the package, in nobody's environment but systemd's and this one's.
        return sh(command, check)

    def idle(self):
        """Waits until no unit is starting any more, and no other firewall."""
        end = time.monotonic() + SOON
        while jobs := sh("systemctl list-jobs --no-legend | grep -v vm-job", check=False)[1].strip():
            if time.monotonic() > end:
                raise Failed(f"units are starting still: {jobs}")
            time.sleep(0.5)
        if self.name == "firewalld":
            # Its start and its reload go on when systemd has been told that they are done.
            time.sleep(PATIENCE)
            while "running" != (state := sh("firewall-cmd --state", check=False)[1].strip()):
                if time.monotonic() > end:
                    raise Failed(f"firewalld is {state}")

    def config(self, more=GUARD, last=13):
        with open(CONFIG, "w") as file:
            file.write(cluster(last, more))

    def blocked(self):
        """Only what the other firewall's admin lets in gets in."""
        self.expect([(STRANGER, 9999), (PEER, 9999)],
                    [(who, port) for who in (PEER, LEAVES, STRANGER) for port in basics.SERVICES + (basics.BLOCKED, THEIRS)])

    def through(self, gone=COMES, there=LEAVES):
        """Peers reach every service; nobody else any, and what is the other firewall's affair is as it was."""
        basics.members(self, gone, there)
        self.expect([], [(who, THEIRS) for who in (PEER, STRANGER)])

    def soon(self):
        """Until it is through again by what the package has set up. How long it took."""
        start = time.monotonic()
        while True:
            code, said = self.run("status")
            if code == 0:
                took = time.monotonic() - start
                try:
                    self.through()
                except Failed:
                    # The watch may be about to take something away and bring it again, because of what was there a moment ago.
                    time.sleep(5 * PATIENCE)
                    self.through()
                return f"{took:.1f} s"
            if time.monotonic() - start > SOON:
                raise Failed(f"not brought back in {SOON} s: {said.strip()}; {journal('ringfence-watch')}")
            time.sleep(0.5)

    def files(self):
        """What the other firewall keeps, byte for byte: modes, owners and contents."""
        found = {}
        for top in filter(os.path.exists, self.of.files):
            for folder, _, names in os.walk(top) if os.path.isdir(top) else [(os.path.dirname(top), [], [os.path.basename(top)])]:
                for path in [folder] * os.path.isdir(top) + [os.path.join(folder, name) for name in names]:
                    stat = os.lstat(path)
                    content = ""
                    if os.path.isfile(path):
                        with open(path, "rb") as file:
                            content = hashlib.sha256(file.read()).hexdigest()
                    found[path] = [oct(stat.st_mode), stat.st_uid, stat.st_gid, content]
        return found

    def rules(self):
        """What is in the kernel, without what packets have changed which the guard is a part of while it is there."""
        return sh("nft --stateless list ruleset 2>/dev/null | sed 's/ # handle .*//'; ipset list -n")[1].splitlines()

    def same(self, there):
        """Their files and rules are what they were: `there` is what `files` and `rules` said."""
        now = [self.files(), sorted(self.rules())]
        differ = sorted(set(there[0]) ^ set(now[0])) + [path for path in there[0] if now[0].get(path, there[0][path]) != there[0][path]]
        if differ:
            raise Failed(f"not as they were: {', '.join(differ)}; {sh('cat ' + ' '.join(differ), check=False)[1][:600]}")
        lost, more = [line for line in there[1] if line not in now[1]], [line for line in now[1] if line not in there[1]]
        if there[1] != now[1]:
            raise Failed(f"other rules: lost {lost}, more {more}")


def journal(unit):
    return text_of(sh(f"journalctl --no-pager -b -n 12 -o cat -u {unit}", check=False)[1])


def units(host):
    """Every unit of the package is as it should be, and so is the other firewall's."""
    for unit, wanted in (("ringfence-watch.service", "active"), (host.of.unit, "active")):
        state = sh(f"systemctl is-active {unit}", check=False)[1].strip()
        if state != wanted:
            raise Failed(f"{unit} is {state}: {journal(unit)}")
    failed = sh("systemctl list-units --failed --no-legend --plain", check=False)[1].strip()
    if "ringfence" in failed or host.of.unit in failed:
        raise Failed(f"failed: {failed}; {journal('ringfence*')}")


def shut_out(host):
    """Peers are out, and status says by whom."""
    host.blocked()
    with open(BEFORE, "w") as file:
        json.dump([host.files(), sorted(host.rules())], file)
    host.config("")
    host.run(f"apply {CONFIG}", 1, f'`open-through = "{host.name}"` under [guard]')
    said = host.run("status", 1, "SHADOWED")[1]
    host.blocked()
    host.config()
    host.run(f"diff {CONFIG}", 1)
    host.run("remove", 0)
    host.same(known())
    because = [line.split("because: ")[1] for line in said.splitlines() if "because: " in line]
    return f"{versions(host)}: {'; '.join(because)}"


def versions(host):
    packages = {"firewalld": "firewalld", "ufw": "ufw iptables", "nftables": "nftables", "iptables": "netfilter-persistent iptables"}
    return sh(f"dpkg-query -W -f '${{Package}} ${{Version}} ' {packages[host.name]}")[1].strip()


def known():
    with open(BEFORE) as file:
        return json.load(file)


def unconfirmed(host):
    """A change that nobody confirms leaves no trace."""
    host.config()
    # Not less than the change itself takes: its watchdog would not wait so long for it.
    within = int((150 if host.name == "firewalld" else 40) * PATIENCE)
    host.run(f"apply --confirm-within {within}s {CONFIG}", 0, "NOT CONFIRMED")
    host.through()
    start = time.monotonic()
    while os.path.exists("/run/ringfence/pending"):
        if time.monotonic() - start > SOON + within:
            raise Failed("not taken back")
        time.sleep(0.5)
    host.blocked()
    host.same(known())
    return f"taken back after {time.monotonic() - start:.1f} s"


def apply(host):
    host.config()
    start = time.monotonic()
    host.run(f"apply {CONFIG}", 0, "proved on what the kernel holds: isolation, reachability")
    took = f"{time.monotonic() - start:.1f} s"
    host.through()
    host.run("status", 0, "enforced")
    host.run("diff", 0)
    units(host)
    return took


def each(host, what):
    """One after the other; where it is kept by the other firewall, nobody has to bring it back."""
    took = []
    for command in host.of.commands[what]:
        code, said = sh(command, check=False)
        # firewalld goes on with what its own client has not waited for.
        if code and "Did not receive a reply" not in said:
            raise Failed(f"`{command}` ended with {code}: {said.strip()}")
        host.idle()
        if host.of.keeps and what != "edited":
            host.through()
        took.append(host.soon())
    units(host)
    return f"{'kept' if host.of.keeps and what != 'edited' else 'back'}, enforced after {', '.join(took)}"


def reload(host):
    return each(host, "reload")


def restart(host):
    sh(f"systemctl restart {host.of.unit}")
    host.idle()
    took = host.soon()
    units(host)
    return took


def off_and_on(host):
    return each(host, "off_and_on")


def edited(host):
    return each(host, "edited")


def by_drop_ins(host):
    """Without the watch: what systemd is asked to do with the other firewall brings it back."""
    sh("systemctl stop ringfence-watch.service")
    try:
        sh(host.of.take)
        host.blocked()
        sh(f"systemctl restart {host.of.unit}")
        host.idle()
        code, said = host.run("status")
        if code:
            raise Failed(f"status ended with {code}: {said.strip()}; {journal(host.of.unit)}")
        host.through()
    finally:
        sh("systemctl start ringfence-watch.service")
    units(host)


def by_timer(host):
    """Without the watch: the unit that the timer starts, behind all its walls."""
    sh("systemctl stop ringfence-watch.service")
    try:
        sh(host.of.take)
        host.blocked()
        code, said = sh("systemctl start ringfence-drift.service", check=False)
        if code:
            raise Failed(f"{said.strip()}; {journal('ringfence-drift')}")
        host.through()
        host.run("status", 0, "enforced")
    finally:
        sh("systemctl start ringfence-watch.service")
    units(host)


def by_watch(host):
    """The watch alone, behind all its walls; anew, since after long work it rests long."""
    sh("systemctl restart ringfence-watch.service")
    time.sleep(3 * PATIENCE)
    sh(host.of.take)
    took = host.soon()
    units(host)
    return took


def by_start(host):
    """The unit that starts with the machine, behind all its walls, where nothing is in force."""
    sh("systemctl stop ringfence-watch.service ringfence.service")
    sh(host.of.take)
    sh("nft delete table inet ringfence")
    code, said = sh("systemctl start ringfence.service", check=False)
    if code:
        raise Failed(f"{said.strip()}; {journal('ringfence.service')}")
    host.through()
    sh("systemctl start ringfence-watch.service")
    units(host)


def changed_and_back(host):
    """Another member, whom nobody confirms, and the one from before again."""
    host.config(last=14)
    host.run(f"apply --confirm-within 600s {CONFIG}", 0, "NOT CONFIRMED")
    host.through(LEAVES, COMES)
    host.run("rollback", 0)
    host.through()
    host.config()
    host.run("status", 0, "enforced")


def booted(host):
    """The machine has started again, and nobody has done anything."""
    host.run("status", 0, "enforced")
    host.through()
    for unit in ("ringfence.service", "ringfence-watch.service"):
        state = sh(f"systemctl is-active {unit}", check=False)[1].strip()
        if state != "active":
            raise Failed(f"{unit} is {state}: {journal(unit)}")
    units(host)
    return sh("systemctl --version", check=False)[1].split("(")[0].strip()


def waits(host):
    """A change that waits to be confirmed when the machine dies."""
    host.config(last=14)
    host.run(f"apply --confirm-within 3600s {CONFIG}", 0, "NOT CONFIRMED")
    host.through(LEAVES, COMES)


def fell_back(host):
    """It was never confirmed, so what was in force before is so again, also in the other firewall's files."""
    host.through()
    state = sh("systemctl is-active ringfence.service", check=False)[1].strip()
    if state != "failed":
        raise Failed(f"nobody is told: ringfence.service is {state}: {journal('ringfence.service')}")
    host.config()
    host.run("diff", 0)
    host.run(f"apply {CONFIG}", 0)
    sh("systemctl reset-failed ringfence.service; systemctl start ringfence.service")
    host.through()
    units(host)


def remove(host):
    """All of it is gone, and does not come back."""
    host.run("remove", 0)
    host.blocked()
    host.same(known())
    host.run("status", 4)
    sh(f"systemctl restart {host.of.unit}")
    host.idle()
    host.blocked()
    host.same(known())


def purge(host):
    """With everything in force."""
    host.config()
    host.run(f"apply {CONFIG}", 0)
    host.through()
    said = sh("dpkg -P ringfence")[1]
    host.blocked()
    host.same(known())
    return "; ".join(line for line in said.splitlines() if line.startswith("ringfence: "))


# What is tried in each start of the machine, in this order.
STARTS = (
    (shut_out, unconfirmed, apply, reload, restart, off_and_on, edited, by_watch, by_timer, by_drop_ins, by_start, changed_and_back),
    (booted, waits),
    (fell_back, remove, purge),
)
