"""What happens to a fleet, one scene after the other. Each begins with what the one before left."""

import json
import os
import signal
import time

from place import PLACE, SHARED, build, patiently
from play import Controller
from traffic import Servers, Traffic

TABLE = """================================= Membership ==================================
Status     Ring    Pending    Node
-------------------------------------------------------------------------------
%s-------------------------------------------------------------------------------
Valid:%d / Leaving:%d / Exiting:0 / Joining:0 / Down:0
"""
BRING = "Bring the cluster file and its rules into force"
ANOTHER = [dict(name="momentum", **{"from": ["10.77.0.150"]}, services=["http"]), dict(name="metrics", **{"from": ["10.77.0.151"]}, services=["http"])]
MEMBERSHIP = dict(cluster_membership_command=["riak-admin", "member-status"])


class Fleet:
    def __init__(self, count, asked):
        self.passed = 0
        # The last one joins later, where there are enough.
        self.nodes = build(count)
        self.members = self.nodes[:-1] if asked.what == "full" else self.nodes
        self.leaving = []
        self.settings = dict(MEMBERSHIP)
        self.are_members(self.members)
        servers = Servers(self.nodes)
        servers.start()
        self.traffic = Traffic(self.nodes, 0.05 if count <= 5 else 0.5)
        self.traffic.start()
        self.controller = Controller(asked.ansible, asked.collection, asked.package)
        self.last = None
        print("%d nodes, %s" % (count, self.controller.version()), flush=True)

    def are_members(self, members, leaving=()):
        """What riak-admin says on every node."""
        rows = "".join("%-9s  25.0%%      --      '%s'\n" % ("leaving" if node in leaving else "valid", node.riak) for node in members)
        (SHARED / "members").write_text(TABLE % (rows, len(members) - len(leaving), len(leaving)))

    def play(self, *arguments, meanwhile=None, **changes):
        self.controller.inventory(self.members, self.leaving, **dict(self.settings, **changes))
        self.last = self.controller.run(*arguments, meanwhile=meanwhile)
        return self.last

    def check(self, true, what):
        if not true:
            raise AssertionError(what)
        self.passed += 1

    def same(self, one, other, what):
        self.check(one == other, "%s:\n%s\n---- and not\n%s" % (what, one, other))

    def ended_well(self, run):
        self.check(run.code == 0, "ended with %d" % run.code)

    def ended_badly(self, run, why):
        self.check(run.code != 0, "ended well")
        self.check(why in run.text, "does not say: " + why)

    def tell(self):
        """What helps to see why a scene failed."""
        if self.last:
            print(self.last.text[-12000:])
        for node in self.nodes:
            print(node.name, (node.run("ringfence", "status").stdout or "").split("\n")[0], (PLACE / (node.name + ".log")).read_text()[-300:])

    def packets(self):
        """None got through a guard, and no peer lost one, since this was asked last."""
        time.sleep(1.2)
        counts = self.traffic.counts()
        self.same(counts["leaks"], [], "strangers got through")
        self.same(counts["lost"], [], "peers lost something")
        if self.traffic.members:
            self.check(counts["peers_tried"] > 0 and counts["peers_said"] > 0, "no peer said anything")
        self.check(counts["strangers_tried"] > 0, "no stranger knocked")
        print("         strangers: %d tried, %d through guards; peers: %d connections and %d messages, %d lost"
              % (counts["strangers_tried"], len(counts["leaks"]), counts["peers_tried"], counts["peers_said"], len(counts["lost"])))
        self.traffic.begin()

    def rules(self, node):
        """All that the kernel holds of the node's rules, without counters."""
        return node.run("nft", "--stateless", "list", "ruleset").stdout

    def all_rules(self):
        return {node.name: (self.rules(node), read(node)) for node in self.nodes}

    def status(self, node):
        return json.loads(node.run("ringfence", "status", "--json").stdout)

    def all_agree(self, nodes):
        found = [self.status(node) for node in nodes]
        for status in found:
            self.same(status["state"], "enforced", "state")
            self.check(status["last_applied"]["confirmed"], "nobody confirmed")
        self.same(len({(status["digest"], status["last_applied"]["digest"], status["version"]) for status in found}), 1, "as many files")


def read(node):
    path = node.path("/etc/ringfence/cluster.toml")
    return path.read_text() if path.exists() else None


def strangers_pass_before(fleet):
    """Without rules strangers get through as peers do: what counts them can see it."""
    fleet.traffic.between(fleet.members)
    patiently("strangers and peers knock", lambda: fleet.traffic.counts()["peers_tried"] > 4 * len(fleet.nodes))
    counts = fleet.traffic.counts()
    fleet.same({name for name, _, _ in fleet.traffic.through}, {node.name for node in fleet.nodes}, "who lets strangers through")
    fleet.same(counts["strangers_through"], counts["strangers_tried"], "strangers")
    fleet.packets()


def file_of_many(fleet):
    """The cluster file of a hundred nodes and as many clients is made in seconds, and is the same for each node."""
    one, other = fleet.controller.cluster_file(100)
    fleet.same(one, other, "the files of two nodes")
    fleet.same((one.count("[[node]]"), one.count("[[client]]")), (100, 100), "who is in it")


def check_before_install(fleet):
    """Check mode before the package is there says what would be installed, and installs nothing."""
    run = fleet.play("--check")
    fleet.ended_well(run)
    fleet.check("would install" in run.text, "does not say so")
    fleet.check(not any(node.path("/usr/bin/ringfence").exists() for node in fleet.nodes), "it was installed")
    fleet.check_said = [(host, "Install the .deb" if task == "Would install ringfence" else task) for host, task in run.changed()]


def first_roll_out(fleet):
    """The first roll-out, from nothing to proved and confirmed on every node; check mode said the same."""
    run = fleet.play()
    fleet.ended_well(run)
    if hasattr(fleet, "check_said"):
        fleet.same(run.changed(), sorted(fleet.check_said), "run and check mode")
    fleet.same(run.applied(), [node.name for node in fleet.members], "who was changed")
    fleet.all_agree(fleet.members)
    fleet.packets()
    fleet.same(sorted(fleet.traffic.guarded), sorted(node.name for node in fleet.members), "who blocks strangers")


def second_run(fleet):
    """A second run changes nothing, and check mode says so."""
    before = fleet.all_rules()
    run = fleet.play()
    fleet.ended_well(run)
    fleet.same(run.changed(), [], "what it changed")
    fleet.same(fleet.all_rules(), before, "rules and files")
    fleet.packets()


def check_is_run(fleet):
    """Check mode says what the run then changes, node by node and task by task, and changes nothing itself."""
    before = fleet.all_rules()
    said = fleet.play("--check", "--diff", cluster_clients=ANOTHER)
    fleet.ended_well(said)
    fleet.same(fleet.all_rules(), before, "rules and files after check mode")
    fleet.check("10.77.0.151 gains http" in said.text, "diff mode does not show who gains what")
    fleet.settings["cluster_clients"] = ANOTHER
    run = fleet.play()
    fleet.ended_well(run)
    fleet.same(said.changed(), run.changed(), "check mode and run")
    fleet.same(run.applied(), [node.name for node in fleet.members], "who was changed")
    fleet.packets()


def join(fleet):
    """A node joins: all others open for it first."""
    new = fleet.nodes[-1]
    fleet.members = fleet.nodes
    fleet.check(not reaches(new, fleet.nodes[0]), "it is let in before")
    run = fleet.play()
    fleet.ended_well(run)
    fleet.same(run.applied(), [node.name for node in fleet.nodes], "who was changed, in this order")
    fleet.are_members(fleet.nodes)
    fleet.packets()
    fleet.traffic.between(fleet.nodes)
    fleet.all_agree(fleet.nodes)
    fleet.packets()


def leave(fleet):
    """A node leaves: while it is a member nobody closes, then everybody does. Who forgets it is stopped."""
    old = fleet.nodes[1]
    stay = [node for node in fleet.nodes if node is not old]
    before = fleet.all_rules()
    fleet.are_members(fleet.nodes, [old])
    fleet.members = stay
    fleet.ended_badly(fleet.play(), "would be shut out")
    fleet.leaving = [old]
    run = fleet.play()
    fleet.ended_well(run)
    fleet.same(run.changed(), [], "what was changed while it was a member")
    fleet.same(fleet.all_rules(), before, "rules and files")
    fleet.packets()
    fleet.traffic.between(stay)
    fleet.check(reaches(old, fleet.nodes[2]), "it is shut out too early")
    fleet.are_members(stay)
    run = fleet.play()
    fleet.ended_well(run)
    fleet.same(run.applied(), [node.name for node in stay], "who closed")
    fleet.check(not reaches(old, fleet.nodes[2]), "it is still let in")
    fleet.all_agree(stay)
    fleet.packets()
    fleet.leaving = []
    fleet.same(fleet.play().changed(), [], "what is left to do")
    fleet.nodes = stay


def broken_file(fleet):
    """A file with an error is stopped at the first node, where nothing is replaced."""
    before = fleet.all_rules()
    run = fleet.play(cluster_private=["10.77.0.1/24"])
    fleet.ended_badly(run, "host-bits")
    fleet.same([one["host"] for one in run.records if one["how"] == "failed"], [fleet.members[0].name], "who saw it")
    fleet.same([one["host"] for one in run.of(BRING)], [], "who applied it")
    # A variable that only looks like one would be passed over, and other addresses taken.
    run = fleet.play(cluster_addresses=["10.77.0.9"])
    fleet.ended_badly(run, "these are no host variables of ringfence")
    fleet.same(run.changed(), [], "what was changed")
    fleet.same(fleet.all_rules(), before, "rules and files")
    fleet.packets()


def peer_does_not_get_through(fleet):
    """A peer does not get through to the changed node: it is taken back at once, file and all, and the rest is left alone."""
    before = fleet.all_rules()
    # Nobody is let in to this port.
    run = fleet.play(cluster_clients=[], cluster_probe_ports=[4369, 8087], cluster_probe_timeout=2)
    fleet.ended_badly(run, "port 8087: silent")
    fleet.same(run.applied(), [fleet.members[0].name], "who was changed")
    fleet.same(fleet.all_rules(), before, "rules and files")
    fleet.packets()


def is_taken_back_by_itself(fleet, first, second, before):
    """The second node's change, which nobody confirmed, while the first one's stays."""
    patiently("it takes itself back", lambda: not second.is_pending(), 40)
    now = fleet.all_rules()
    fleet.check(now[first.name] != before[first.name], "the first node was confirmed")
    fleet.same(now[second.name][0], before[second.name][0], "its rules")
    return now


def confirmation_is_lost(fleet):
    """No new connection to the changed node: it takes itself back, and the nodes behind it are left alone."""
    first, second = fleet.members[:2]
    before = fleet.all_rules()

    def meanwhile(_):
        patiently("a change waits", second.is_pending, 300)
        second.stop_answering()

    run = fleet.play(meanwhile=meanwhile, cluster_clients=[], cluster_confirm_within=15, cluster_connect_timeout=4)
    fleet.check(run.code != 0, "ended well")
    now = is_taken_back_by_itself(fleet, first, second, before)
    fleet.same(run.applied(), [first.name, second.name], "who was changed")
    fleet.check("taken back" in (fleet.status(second).get("taken_back") or ""), "its status does not say so")
    for node in fleet.members[2:]:
        fleet.same(now[node.name], before[node.name], "who comes behind")
    fleet.packets()
    second.answer_again()
    fleet.ended_well(fleet.play())
    fleet.same(fleet.all_rules(), before, "rules and files after the next run")
    fleet.packets()


def controller_is_killed(fleet):
    """The controller is killed while a change waits: that node takes itself back, and the next run does the rest."""
    first, second = fleet.members[:2]
    before = fleet.all_rules()

    def meanwhile(process):
        patiently("a change waits", second.is_pending, 300)
        os.killpg(process.pid, signal.SIGKILL)

    run = fleet.play(meanwhile=meanwhile, cluster_clients=[], cluster_confirm_within=10)
    fleet.same(run.code, -signal.SIGKILL, "how it ended")
    is_taken_back_by_itself(fleet, first, second, before)
    fleet.packets()
    fleet.settings["cluster_clients"] = []
    fleet.ended_well(fleet.play())
    fleet.all_agree(fleet.members)
    fleet.packets()


def unreachable(fleet):
    """A node that does not answer stops everything before anything is changed."""
    before = fleet.all_rules()
    last = fleet.members[-1]
    last.stop_answering()
    last.hang_up()
    run = fleet.play(cluster_clients=ANOTHER)
    fleet.ended_badly(run, "UNREACHABLE")
    fleet.same(run.changed(), [], "what was changed")
    fleet.same(fleet.all_rules(), before, "rules and files")
    fleet.packets()
    last.answer_again()
    fleet.ended_well(fleet.play())


SHORT = [strangers_pass_before, file_of_many, check_before_install, first_roll_out, second_run, confirmation_is_lost]
FULL = [strangers_pass_before, file_of_many, check_before_install, first_roll_out, second_run, check_is_run, join, leave, broken_file, peer_does_not_get_through,
        confirmation_is_lost, controller_is_killed, unreachable]
MANY = [strangers_pass_before, first_roll_out, second_run]


def of(what):
    return {"short": SHORT, "full": FULL}.get(what, MANY)


def reaches(source, target):
    """Whether a connection comes about: by bash, since a node's own tools serve."""
    return source.run("timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/%s/4369" % target.address).returncode == 0
