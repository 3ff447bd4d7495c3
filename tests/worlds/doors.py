"""The door table: whichever table makes an address this host's, and whatever translates a port, is a stranger kept out?

Each cell is real connections beside what apply and status say. Bad is a stranger who gets through while isolation is
called proved, or a peer who does not while reachability is.
"""

import os
import time

from lab import PEER, STRANGER, Failed, Machine, text_of

# So long `ringfence watch` may take: it waits until routes are quiet, and an emulated machine needs seconds for the change.
SOON = 20 * float(os.environ.get("PATIENCE") or 1)

PLACES = ("main", "vrf", "table", "anyip", "later")
TRANSLATIONS = ("none", "dnat", "redirect")
# The address that is tried.
ADDRESS = {"main": {4: "10.20.0.11", 6: "fd20::11"}, "vrf": {4: "10.20.0.11", 6: "fd20::11"},
           "table": {4: "10.20.7.7", 6: "fd20:7::7"}, "later": {4: "10.20.7.7", 6: "fd20:7::7"},
           "anyip": {4: "10.30.1.2", 6: "fd30::2"}}
TABLE = ("ip rule add pref 5 lookup 100; ip -6 rule add pref 5 lookup 100; "
         "ip route add local 10.20.7.0/24 dev lo table 100; ip -6 route add local fd20:7::/64 dev lo table 100")
ROUTES = {"main": "true", "vrf": "true", "later": "true", "table": TABLE,
          "anyip": "ip route add local 10.30.0.0/16 dev lo; ip -6 route add local fd30::/64 dev lo"}
UNROUTE = ("ip rule del pref 5; ip -6 rule del pref 5; ip route flush table 100; ip -6 route flush table 100")


def translate(machine, translation):
    """Port 8098 is published by another port, by the tool of the back end."""
    if translation == "none":
        return
    if machine.backend == "nft":
        for family, own in (("ip", "10.20.0.11"), ("ip6", "[fd20::11]")):
            to = "redirect to :18098" if translation == "redirect" else f"dnat to {own}:18098"
            machine.host(f"nft add table {family} publish; "
                         f'nft add chain {family} publish pre "{{ type nat hook prerouting priority -100; }}"; '
                         f"nft add rule {family} publish pre tcp dport 8098 {to}")
        return
    for tool, own in (("iptables", "10.20.0.11"), ("ip6tables", "[fd20::11]")):
        to = "REDIRECT --to-ports 18098" if translation == "redirect" else f"DNAT --to-destination {own}:18098"
        machine.host(f"{tool} -w -t nat -A PREROUTING -p tcp --dport 8098 -j {to}")


def word(open_, name):
    return "in" if name in open_ else "out"


def claims_of(said, code):
    """What is claimed: of apply's last lines or of status; nothing of it counts where the exit code says otherwise."""
    proved = " ".join(line for line in said.splitlines() if line.startswith(("proved", "enforced")))
    enforced = code == 0 and "enforced for" in proved
    return {claim for claim in ("isolation", "reachability") if code == 0 and (enforced or claim in proved)}


def look(machine, place, claims, before=None):
    """The cells of this moment, one a family: who gets through, beside what is claimed. Who did not get in without any
    guard either is not kept out by it: IPv4 does not answer from an address that only another table has."""
    attempts = []
    for version in (4, 6):
        for who, addresses in (("stranger", STRANGER), ("peer", PEER)):
            attempts.append((f"{who}{version}", version, addresses[version], ADDRESS[place][version], 8098))
    open_ = machine.connect(attempts)
    cells = {}
    for version in (4, 6):
        stranger, peer = word(open_, f"stranger{version}"), word(open_, f"peer{version}")
        lost = peer == "out" and (before is None or before[version]["peer"] == "in")
        bad = (stranger == "in" and "isolation" in claims) or (lost and "reachability" in claims)
        cells[version] = {"stranger": stranger, "peer": peer, "bad": bad}
    return cells


def until_enforced(machine):
    """What status says once the watch has seen to it that what came later is guarded, too."""
    start = time.monotonic()
    while True:
        code, said = machine.run("status a.toml")
        if code == 0:
            return code, said
        if time.monotonic() - start > SOON:
            raise Failed(f"the watch has not brought it about in {SOON} s: {said.strip()}")
        time.sleep(0.5)


def door(program, backend, place, translation):
    """The two cells of this door."""
    with Machine(program, backend, vrf=place == "vrf") as machine:
        machine.host(ROUTES[place])
        translate(machine, translation)
        if place == "later":
            machine.host(TABLE)
        before = look(machine, place, set())
        if place == "later":
            machine.host(UNROUTE)
        code, said = machine.run("apply --node riak@n11.example.com a.toml")
        applied = claims_of(said, code)
        watch = place == "later" and machine.knows("watch")
        if watch:
            machine.start("watch")
            time.sleep(2)
        if place == "later":
            machine.host(TABLE)
        status_code, status_said = machine.run("status a.toml")
        now = claims_of(status_said, status_code)
        cells = look(machine, place, now if place == "later" else now | applied, before)
        for version, cell in cells.items():
            cell.update(apply=code, status=status_code, isolation="isolation" in applied,
                        enforced="isolation" in now, before=before[version]["stranger"], said=text_of(said)[:600], status_said=text_of(status_said)[:600])
        if place == "later":
            late_code, late_said = until_enforced(machine)
            for version, cell in look(machine, place, claims_of(late_said, late_code), before).items():
                cells[version].update(watch=watch, later_stranger=cell["stranger"], later_peer=cell["peer"],
                                      later_status=late_code)
                cells[version]["bad"] |= cell["bad"] or (watch and cell["stranger"] == "in")
            # What apply then says of the new address is to be true.
            again_code, again_said = machine.run("apply a.toml")
            for version, cell in look(machine, place, claims_of(again_said, again_code), before).items():
                cells[version].update(again=again_code, again_stranger=cell["stranger"])
                cells[version]["bad"] |= cell["bad"]
        return cells


def summary(cell):
    claim = "claimed" if cell["enforced"] or cell["isolation"] else "not claimed"
    text = f"stranger {cell['stranger']}, peer {cell['peer']}, apply {cell['apply']}, status {cell['status']}, isolation {claim}"
    if cell["before"] == "out":
        text += " (without the guard nobody gets in either)"
    if "later_stranger" in cell:
        text += (f"; then: stranger {cell['later_stranger']}, peer {cell['later_peer']}, status {cell['later_status']}"
                 + ("" if cell["watch"] else ", no watch"))
    if "again" in cell:
        text += f"; applied again ({cell['again']}): stranger {cell['again_stranger']}"
    return text


def guard_interface(program, backend):
    """`[guard] interfaces` with an interface of a VRF: refused, or peers get in."""
    with Machine(program, backend, vrf=True) as machine:
        with open("/tmp/rfw/a.toml") as file:
            machine.write("a.toml", file.read() + '[guard]\ninterfaces = ["eth1"]\n')
        code, said = machine.run("apply --node riak@n11.example.com a.toml")
        cells = look(machine, "vrf", claims_of(said, code))
        wrong = [f"IPv{version}: stranger {cell['stranger']}, peer {cell['peer']}" for version, cell in cells.items()
                 if cell["bad"] or (code == 0 and cell["peer"] == "out")]
        return wrong, f"apply ended with {code}: {text_of(said)[:400]}"
