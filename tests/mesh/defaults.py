"""VMs as Erlang has them by default, which connect everybody to everybody, and since OTP 25 let go of nodes that others lost."""

import time

import labs
from place import patiently
from policy import Rules


def run(make, settings, stop_first):
    """Four nodes, of which one is removed. Which connections between the others broke."""
    lab = make(labs.Lab)
    members, old = lab.names[:-1], lab.names[-1]
    for name in lab.names:
        lab.erlang[name].families, lab.erlang[name].settings = (4,), settings
        lab.apply(name, Rules(tuple(lab.names), ("client",)))
        lab.erlang[name].start()
    for name in lab.names[1:]:
        lab.check(lab.connect(lab.names[0], name, 4), "%s does not reach %s" % (lab.names[0], name))
    patiently("all of them are connected", lambda: all(len(lab.vm(name, 4).nodes()) == len(lab.names) - 1 for name in lab.names))
    time.sleep(1)
    if stop_first:
        lab.vm(old, 4).ask("stop", seconds=5)
        patiently("it is gone", lambda: not any(lab.connected(name, old, 4) for name in members))
    lab.ended.clear()
    for name in members:
        lab.apply(name, Rules(tuple(members), ("client",)), "--cut-outgoing")
    patiently("it is gone", lambda: not any(lab.connected(name, old, 4) for name in members))
    time.sleep(3)
    others = {lab.vm(name, 4).name for name in members}
    return lab, sorted({tuple(sorted((vm, node))) for _, vm, node in lab.ended if vm in others and node in others})


def play(make, number):
    """One of the following."""
    settings, stop_first, what = WAYS[number]
    lab, broke = run(make, settings, stop_first)
    print("         %s: of the other nodes' connections %d broke" % (what, len(broke)), flush=True)
    # With Erlang's defaults it is Erlang that breaks them.
    lab.same(bool(broke), not stop_first and not settings, "that others' connections broke: %s" % broke)


# Settings of the VMs; whether the node that is removed is stopped before.
WAYS = [
    ((), True, "it is stopped, and then removed"),
    (("-kernel", "prevent_overlapping_partitions", "false"), False, "it is removed while it runs, without prevent_overlapping_partitions"),
    ((), False, "it is removed while it runs"),
]
