"""What happens in the lab, one scene after the other. Each begins with what the one before left."""

import random
import re
import subprocess
import time

import policy
from ground import RINGFENCE
from place import end, patiently
from policy import NOTHING, Rules
from traffic import Writer


def without_rules(lab):
    """Without rules strangers get everywhere, and what counts them sees it; so it does with a rule that cuts peers off."""
    for name in lab.names:
        lab.erlang[name].start()
    patiently("everybody gets to every port", lambda: all(
        lab.traffic.passed[source, target, family, port] for source in lab.hosts for target in lab.names if source != target
        for family in (4, 6) for port in policy.PORTS_ASKED), 20)
    # As if there were rules: all that comes from strangers is wrong.
    first, second = lab.names[:2]
    lab.guards[first].may_be(Rules((first, second), ()))
    lab.traffic.begin()
    patiently("strangers are counted", lambda: {"stranger", "untrusted"} <= {one.split()[0] for one in lab.traffic.counts()["wrong"]})
    lab.guards[first].may_be(NOTHING)
    lab.mesh([first, second])
    lab.hosts[first].must("nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; }; "
                          "add rule inet cut in ip saddr %s drop" % lab.hosts[second].v4)
    lab.traffic.begin()
    patiently("lost connections are counted", lambda: any(one.startswith("%s to %s, IPv4" % (second, first)) for one in lab.traffic.counts()["wrong"]))
    patiently("questions that nobody answers are counted", lambda: lab.beats()[1] > 0)
    lab.vm(second, 4).drop(lab.vm(first, 4))
    patiently("a connection that broke is counted", lambda: lab.broken)
    lab.hosts[first].must("nft", "delete", "table", "inet", "cut")
    # What was counted on purpose goes with those VMs.
    for name in (first, second):
        lab.may_part(name)
        lab.stop(name)
    time.sleep(0.2)
    lab.broken.clear()
    lab.past = [0, 0, 0]
    for name in (first, second):
        lab.erlang[name].start()


def form(lab):
    """The rules come in before Erlang runs; nodes start, find each other and connect, each direction by itself. Nobody else gets anything."""
    members = lab.names[:-1]
    for name in lab.names:
        lab.stop(name)
    # The last one is to join later: its own file has it already.
    for name in lab.names:
        lab.apply(name, Rules(tuple(members if name in members else lab.names), ("client",)))
        lab.same(lab.state(name), "enforced", "state of " + name)
    for name in lab.names:
        lab.erlang[name].start()
        lab.same(lab.erlang[name].ports(), policy.DISTRIBUTION, "ports that epmd names over loopback")
    lab.traffic.begin()
    for one in members:
        for other in members:
            for family in (4, 6):
                if one != other:
                    lab.check(lab.connect(one, other, family), "%s does not reach %s by IPv%d" % (one, other, family))
                    lab.disconnect(one, other, family)
    lab.mesh(members)
    lab.settle()
    # Who got where at all since the rules are in force: admitted peers and the client's HTTP.
    got = {(source, port) for (source, target, _, port), count in lab.traffic.passed.items() if target in members}
    patiently(lambda: "who gets where: %s" % sorted(got), lambda: has_reached(lab, members))


def has_reached(lab, members):
    """Everybody who is admitted has got to every node, by IPv4 and IPv6, and nobody else has."""
    wanted = {(source, target, family, port) for source in lab.hosts for target in members for family in (4, 6) for port in policy.PORTS_ASKED
              if source != target and lab.guards[target].now()[0].admit(source, port)}
    got = {key for key in list(lab.traffic.passed) if key[1] in members}
    if got - wanted:
        raise AssertionError("got through: %s" % sorted(got - wanted))
    return wanted == got


def join(lab):
    """A node joins: refused before the rules know it, taken in behind the last change."""
    new, members = lab.names[-1], lab.names[:-1]
    lab.is_refused(new, members[0])
    for name in members:
        lab.apply(name, Rules(tuple(lab.names), ("client",)))
    lab.mesh(lab.names)
    lab.settle()


def leave(lab):
    """A node is removed: what it opened ends at once; what was opened towards it is listed, and ends by --cut-outgoing or as is said. The rest stays."""
    old, members = lab.names[-1], lab.names[:-1]
    others = Rules(tuple(members), ("client",))
    # Connections of both kinds: the first two nodes open one by IPv4, everything else is opened by the one that goes.
    lab.may_part(old)
    first, second = members[:2]
    out = [(first, 4), (second, 4)]
    for name in members:
        for family in (4, 6):
            lab.disconnect(name, old, family)
            opener, other = (name, old) if (name, family) in out else (old, name)
            lab.check(lab.connect(opener, other, family), "%s does not reach %s" % (opener, other))
    goes_on = re.compile(r"no longer admitted.*:.*\n *%s:\d+ with %s:600[01]\n" % tuple(re.escape(lab.hosts[name].v4) for name in (first, old)))
    lab.write(first, others)
    for _ in range(5):
        shown = lab.ringfence(first, "diff", codes=(1,))
        if goes_on.search(shown):
            break
        # Erlang's `global` may have parted the two meanwhile, as others were, and the other one opened the connection again.
        lab.disconnect(first, old, 4)
        lab.check(lab.connect(first, old, 4), "%s does not reach %s" % (first, old))
    lab.check(goes_on.search(shown), "diff does not list the session that this host opened:\n" + shown)
    lab.check("running-node" in shown, "diff does not say that the node still runs")
    for name in members:
        begun = time.monotonic()
        said = lab.apply(name, others, *(["--cut-outgoing"] if name == second else []))
        applied = time.monotonic()
        if name == first:
            first_said = said
        ends = [family for family in (4, 6) if (name, family) not in out[:1]]
        for family in ends:
            patiently("%s and %s part by IPv%d" % (old, name, family), lambda: not lab.connected(name, old, family), 1)
        when = [at for at, vm, node in lab.ended if at > begun and vm in lab.names_of(name) and node in lab.names_of(old)]
        lab.same(len(when), len(ends), "connections that ended")
        lab.check(max(when) < applied + 1, "they end late")
    lab.check(goes_on.search(first_said), "apply does not list the session that this host opened:\n" + first_said)
    lab.check("`ss -K dst ADDRESS` does afterwards" in first_said, "does not say how it ends")
    lab.check(lab.connected(first, old, 4), "what the first node opened does not go on")
    lab.hosts[first].must("ss", "-K", "dst", lab.hosts[old].v4)
    patiently("what was opened towards it is cut", lambda: not lab.connected(first, old, 4), 1)
    lab.is_refused(old, second)
    lab.settle()


class Writing:
    """A client writes meanwhile. Nothing of it is lost."""

    def __init__(self, lab, what):
        self.lab, self.what, self.writer = lab, what, Writer(lab.hosts["client"], [lab.hosts[name] for name in lab.names[:-1]])

    def __enter__(self):
        self.lab.servers.kept.clear()
        self.writer.start()

    def __exit__(self, kind, *_):
        self.writer.end()
        if kind:
            return
        lab, writer = self.lab, self.writer
        lab.same(writer.lost, [], "what was written and not answered")
        lab.same([one for one in writer.answered if lab.servers.kept[one] != 1], [], "what was answered, and not kept once")
        lab.check(len(writer.answered) > 10, "nothing was written")
        lab.same(writer.again, 0, "segments that were sent twice")
        print("         %s; %d writes, 0 lost" % (self.what, len(writer.answered)))


def rolling(lab, rounds=2, seed=1):
    """Rules change node by node, in any order, while the mesh is up and a client writes: nothing breaks, nothing is lost."""
    order = random.Random(seed)
    members = lab.names[:-1]
    with Writing(lab, "%d changes" % ((rounds + 1) * len(members))):
        for number in range(rounds):
            rules = Rules(tuple(lab.names if number % 2 == 0 else members), ("client",) if number % 4 < 2 else ("client", "stranger"))
            for name in order.sample(members, len(members)):
                lab.apply(name, rules)
        for name in order.sample(members, len(members)):
            lab.apply(name, Rules(tuple(members), ("client",)))
    lab.settle()


def rolling_more(lab):
    """The same, twelve times."""
    rolling(lab, 12, 3)


def first_rules(lab):
    """The rules are taken away, and come in anew into a mesh that is up, by the other back end, and by the first one again."""
    members = lab.names[:-1]
    own, other = lab.backend, {"nft": "iptables", "iptables": "nft"}[lab.backend]
    rules = Rules(tuple(members), ("client",))
    with Writing(lab, "%d changes" % (4 * len(members))):
        for name in members:
            lab.changes(name, NOTHING)
            lab.ringfence(name, "remove")
            lab.is_now(name, NOTHING)
        for lab.backend in (own, other, own):
            for name in members:
                lab.apply(name, rules)
                lab.same(lab.state(name), "enforced", "state of " + name)
    lab.settle(flushed=True)
    lab.settle()


def killed(lab, times=6, seed=2):
    """`apply` is killed at any time: the old rules or the new, never none; the next one ends what it began."""
    order = random.Random(seed)
    members = lab.names[:-1]
    begun = time.monotonic()
    lab.apply(members[0], Rules(tuple(members), ("client",)))
    took = time.monotonic() - begun
    ended = 0
    for number in range(times):
        name = members[number % len(members)]
        rules = Rules(tuple(lab.names if number // len(members) % 2 == 0 else members), ("client",))
        ended += lab.kill_apply(name, rules, order.uniform(0, took))
        if order.random() < 0.5:
            # What the timer does then brings in either of the two.
            lab.ringfence(name, "hook", "check")
        lab.apply(name, rules)
        lab.same(lab.state(name), "enforced", "state of " + name)
    for name in members:
        lab.apply(name, Rules(tuple(members), ("client",)))
    print("         %d killed, %d of them too late" % (times, ended))
    lab.settle()


def killed_more(lab):
    """The same, sixty times."""
    killed(lab, 60, 4)


def flushed(lab):
    """`nft flush ruleset`: status says so, strangers get in as the documents say, and the drift timer's command puts it back."""
    name = lab.names[0]
    lab.flush(name)
    lab.same(lab.state(name), "absent", "state")
    patiently("strangers get in while there are no rules", lambda: lab.traffic.counts()["flushed"] > 0)
    lab.restore(name)
    lab.same(lab.state(name), "enforced", "state")
    lab.settle(flushed=True)
    # Nobody gets in any more.
    lab.settle()


def watched(lab):
    """`nft flush ruleset` where `ringfence watch` runs: it is back by itself."""
    name = lab.names[0]
    watch = lab.hosts[name].begin(RINGFENCE, "watch", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    for _ in range(10):
        lab.flush(name)
        patiently("it is back", lambda: lab.state(name) == "enforced", 10)
        lab.is_now(name, lab.files[name])
    end(watch)
    lab.settle(flushed=True)
    lab.settle()


def reboot(lab):
    """A host starts anew: its rules are there before its network is, and it finds its peers again."""
    name = lab.names[1]
    lab.reboot(name)
    lab.same(lab.state(name), "enforced", "state")
    lab.mesh(lab.names[:-1])
    lab.settle()


SHORT = [without_rules, form, join, leave, rolling, killed, flushed, reboot]
FULL = SHORT[:5] + [rolling_more, first_rules, killed_more, flushed, watched, reboot]
