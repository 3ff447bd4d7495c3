"""Debian's ejabberd: a pair forms behind rules that are there before it, and an outsider does not get in."""

import concurrent.futures
import random
import time

import policy
from ground import Ground
from nodes import COOKIE
from place import HERE, patiently
from policy import ProgramRules

PROGRAM = "/usr/sbin/ejabberdctl"
CLIENTS, SERVERS = 5222, 5269
SETTINGS = 'ERLANG_NODE=ejabberd@%s\nFIREWALL_WINDOW=6000-6009\nERL_OPTIONS="-env ERL_CRASH_DUMP_BYTES 0"\n'


class ChatRules(ProgramRules):
    name, profile, user, service = "chats", "ejabberd.toml", "ejabberd", "c2s"

    def admit(self, source, port):
        return source in self.members and port in (policy.EPMD, 6000) or source in self.clients and port == CLIENTS


class Chats(Ground):
    def __init__(self, backend, binary):
        super().__init__(2, backend, binary, 0.2, ports=[policy.EPMD, 6000, CLIENTS, SERVERS], refusing=[6000])
        for name in self.names + ["stranger"]:
            host = self.hosts[name]
            host.path("/etc/default/ejabberd").write_text(SETTINGS % host.v4)
            host.path("/etc/ringfence/ejabberd.toml").write_text((HERE / "ejabberd.toml").read_text())
            host.must("sh", "-ec", "cd /var/lib/ejabberd; printf %s >.erlang.cookie; chown ejabberd: .erlang.cookie; chmod 400 .erlang.cookie" % COOKIE)
        self.traffic.start()

    def node(self, name):
        return "ejabberd@" + self.hosts[name].v4

    def ctl(self, name, *words):
        return self.hosts[name].run(PROGRAM, *words)

    def start(self, name):
        started = self.hosts[name].run(PROGRAM, "start")
        self.same(started.returncode, 0, "start of %s: %s" % (name, started.stdout + started.stderr))
        patiently("%s starts" % name, lambda: self.ctl(name, "status").returncode == 0, 90)

    def cluster(self, name):
        return sorted(word.strip("'") for word in self.ctl(name, "list_cluster").stdout.split())


def play(backend, binary):
    """The rules come in, a pair of ejabberd starts and joins; an outsider is refused; rules change one by one, and the pair stays one."""
    lab = Chats(backend, binary)
    own, more = ChatRules(tuple(lab.names), ("client",)), ChatRules(tuple(lab.names) + ("stranger",), ("client",))
    for name in lab.names:
        lab.apply(name, own)
        lab.same(lab.state(name), "enforced", "state of " + name)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lab.start, lab.names + ["stranger"]))
    both = sorted(map(lab.node, lab.names))
    joined = lab.ctl("n2", "join_cluster", lab.node("n1"))
    lab.same(joined.returncode, 0, "join: " + joined.stdout + joined.stderr)
    patiently(lambda: "one cluster: %s" % lab.cluster("n1"), lambda: lab.cluster("n1") == both and lab.cluster("n2") == both, 60)
    refused = lab.ctl("stranger", "join_cluster", lab.node("n1"))
    lab.same([lab.cluster("n1"), lab.cluster("stranger")], [both, [lab.node("stranger")]], "who is in, after the outsider's join: " + refused.stdout)
    patiently("everything listens", lambda: lab.ctl("n2", "status").returncode == 0, 60)
    time.sleep(2)
    before = lab.traffic.counts()
    lab.check(before["strangers"] > 0 and before["through"] == 0, "strangers got through: %s" % before["wrong"][:10])
    lab.traffic.begin()
    order, changes = random.Random(6), 0
    for rules in (more, own) * 4:
        for name in order.sample(lab.names, len(lab.names)):
            lab.apply(name, rules)
            changes += 1
    time.sleep(1.3)
    counts = lab.traffic.counts()
    lab.same(counts["wrong"][:10], [], "connections that came to something else than the rules say")
    # Mnesia does not come together again by itself: whoever parted once stays apart.
    lab.same([lab.cluster("n1"), lab.cluster("n2")], [both, both], "the pair")
    print("         %d changes; strangers: %d tried, %d through; admitted: %d tried, 0 lost"
          % (changes, before["strangers"] + counts["strangers"], counts["through"], counts["admitted"]), flush=True)
    return lab
