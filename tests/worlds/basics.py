"""What the program promises of a change and its way back, with real packets."""

import os
import time

from lab import COMES, FOLDER, LEAVES, PEER, STRANGER, Failed, sh

SERVICES = (4369, 6000, 8098, 8099)
# Blocked for everyone, and guarded by nobody.
BLOCKED, FREE = 8087, 9999


def members(machine, gone, there):
    """Who is of the cluster gets in, and nobody else."""
    machine.expect([(who, port) for who in (PEER, there) for port in SERVICES] + [(STRANGER, FREE)],
                   [(who, port) for who in (STRANGER, gone) for port in SERVICES] + [(PEER, BLOCKED), (STRANGER, BLOCKED)])


def apply(machine):
    start = time.monotonic()
    said = machine.run("apply a.toml", 0, "proved on what the kernel holds: isolation, reachability")[1]
    if f"({machine.backend.split('-')[0]})" not in said:
        raise Failed(f"another back end: {said}")
    return f"{time.monotonic() - start:.1f} s"


def packets(machine):
    members(machine, COMES, LEAVES)


def where(machine):
    """The rules are where they were asked for."""
    if machine.backend == "nft":
        machine.host("nft list table inet ringfence | grep -q isolation")
        return
    variant = machine.backend.split("-")[1]
    other = "legacy" if variant == "nft" else "nft"
    for tool in ("iptables", "ip6tables"):
        machine.host(f"{tool}-{variant}-save -t raw | grep -q RINGFENCE")
        if "RINGFENCE" in machine.host(f"{tool}-{other}-save", check=False)[1]:
            raise Failed(f"rules in the tables of {tool}-{other}, too")


def without_nft(machine):
    """Changes go by netlink alone: they do where nft only fails."""
    hide = "for nft in /usr/sbin/nft /sbin/nft; do mount --bind /bin/false $nft; done; nft list ruleset && exit 9; "
    for name in ("b.toml", "a.toml"):
        machine.host(f"{hide}{machine.program} {machine.arguments(f'apply {name}')}")
    members(machine, COMES, LEAVES)


def diff(machine):
    machine.run("diff a.toml", 0)
    machine.run("diff b.toml", 1, "10.20.0.14")


def again(machine):
    machine.run("apply a.toml", 0, "nothing had to be changed")


def status(machine):
    machine.run("status a.toml", 0, "enforced")
    machine.run("status --full a.toml", 0, "enforced")


def drift(machine):
    """Somebody's hole is seen, and closed by the next apply."""
    if machine.backend == "nft":
        machine.host("nft insert rule inet ringfence input tcp dport 8098 accept")
    else:
        machine.host("iptables -t mangle -I INPUT -s 10.20.0.66 -j ACCEPT; iptables -t raw -I PREROUTING -s 10.20.0.66 -j ACCEPT")
    # In iptables it stands among somebody else's rules.
    machine.run("status a.toml", 1, "DRIFTED" if machine.backend == "nft" else "SHADOWED")
    machine.run("apply a.toml", 0)
    machine.run("status a.toml", 0, "enforced")
    members(machine, COMES, LEAVES)


def flushed(machine):
    """Nothing is left in force: absent, and apply brings all of it back."""
    if machine.backend == "nft":
        machine.host("nft flush ruleset")
    else:
        machine.host("for t in raw mangle; do for p in iptables ip6tables; do $p -t $t -F; $p -t $t -X; done; done")
    status = machine.run("status a.toml")[0]
    if status == 0:
        raise Failed("status says enforced")
    machine.run("apply a.toml", 0)
    members(machine, COMES, LEAVES)
    return f"status ended with {status}"


def until_nothing_waits():
    start = time.monotonic()
    while os.path.exists(f"{FOLDER}/state/run/pending"):
        if time.monotonic() - start > 60:
            raise Failed("not taken back after a minute")
        time.sleep(0.2)
    return time.monotonic() - start


def confirm_timed_out(machine):
    # An emulated machine needs several seconds for the change itself.
    machine.run("apply --confirm-within 20s b.toml", 0, "NOT CONFIRMED")
    members(machine, LEAVES, COMES)
    took = until_nothing_waits()
    members(machine, COMES, LEAVES)
    machine.run("status a.toml", 0, "enforced")
    return f"taken back after {took:.1f} s"


def confirm_too_short(machine):
    """A time that is over before the change is made: nobody is told that the change is in force."""
    code, said = machine.run("apply --confirm-within 1s b.toml")
    until_nothing_waits()
    time.sleep(1)
    if code == 0 and "NOT CONFIRMED" not in said and machine.run("status b.toml")[0] != 0:
        raise Failed(f"it was taken back, but apply said: {said.strip()}")
    machine.run("apply a.toml", 0)
    return f"apply ended with {code}"


def confirm(machine):
    machine.run("apply --confirm-within 120s b.toml", 0, "NOT CONFIRMED")
    machine.run("confirm", 0, "confirmed")
    members(machine, LEAVES, COMES)
    machine.run("status b.toml", 0, "enforced")


def rollback(machine):
    machine.run("apply --confirm-within 120s a.toml", 0, "NOT CONFIRMED")
    members(machine, COMES, LEAVES)
    machine.run("rollback", 0)
    members(machine, LEAVES, COMES)
    machine.run("status b.toml", 0, "enforced")


def remove(machine):
    machine.run("remove", 0)
    left = machine.host("nft list ruleset; for p in iptables ip6tables; do $p-legacy-save; $p-nft-save; done; ipset list -n",
                        check=False)[1]
    if "ringfence" in left.lower() or "rfw" in left.lower():
        raise Failed(f"left: {left}")
    reserved = machine.host("cat /proc/sys/net/ipv4/ip_local_reserved_ports")[1].strip()
    if reserved:
        raise Failed(f"reserved ports left: {reserved}")
    if sh(f"ls {FOLDER}/root/etc/sysctl.d", check=False)[1].strip().endswith(".conf"):
        raise Failed("60-ringfence.conf is left")
    machine.run("status a.toml", 4)
    machine.expect([(STRANGER, port) for port in SERVICES + (BLOCKED, FREE)], [])


ROWS = (apply, packets, where, without_nft, diff, again, status, drift, flushed, confirm_timed_out, confirm_too_short, confirm,
        rollback, remove)
