"""Debian's RabbitMQ: three nodes form a cluster behind rules that are there before them, and an outsider does not get in."""

import concurrent.futures
import json
import random
import time

import amqp
import policy
from ground import Ground
from place import patiently, within
from policy import ProgramRules

BIN = "/usr/lib/rabbitmq/bin/"
PROGRAM = BIN + "rabbitmq-server"
USER, PASSWORD = b"lab", b"lab"
AMQP, DISTRIBUTION = 5672, 25672


class RabbitRules(ProgramRules):
    name, profile, user, service = "rabbits", "rabbitmq", "rabbit", "amqp"

    def admit(self, source, port):
        return source in self.members and port != AMQP or source in self.clients and port == AMQP


class Rabbits(Ground):
    def __init__(self, backend, binary):
        super().__init__(3, backend, binary, 0.2, ports=[policy.EPMD, DISTRIBUTION, AMQP], refusing=[DISTRIBUTION])
        self.traffic.start()

    def node(self, name):
        return "rabbit@" + self.hosts[name].v4

    def environment(self, name):
        return dict(RABBITMQ_NODENAME=self.node(name), RABBITMQ_USE_LONGNAME="true", HOME="/var/lib/rabbitmq")

    def ctl(self, name, *words, may_fail=False):
        ended = self.hosts[name].run(BIN + "rabbitmqctl", *words, env=self.environment(name))
        if ended.returncode and not may_fail:
            raise AssertionError("%s: rabbitmqctl %s ends with %d\n%s%s" % (name, " ".join(words), ended.returncode, ended.stdout, ended.stderr))
        return ended

    def start(self, name):
        self.hosts[name].must(PROGRAM, "-detached", env=self.environment(name))
        patiently("%s starts" % name, lambda: self.ctl(name, "await_startup", "--timeout", "30", may_fail=True).returncode == 0, 90)

    def join(self, name, other, may_fail=False):
        self.ctl(name, "stop_app")
        ended = self.ctl(name, "join_cluster", self.node(other), may_fail=may_fail)
        self.ctl(name, "start_app")
        return ended

    def running(self, name):
        status = json.loads(self.ctl(name, "cluster_status", "--formatter", "json").stdout)
        self.same(status["partitions"], {}, "partitions")
        return sorted(status["running_nodes"])

    def downs(self):
        """What the nodes have in their logs of others that went away."""
        return [line for name in self.names for line in self.hosts[name].must("sh", "-c", "cat /var/log/rabbitmq/*.log").splitlines()
                if " down: " in line and "rabbit@" in line]


def play(backend, binary):
    """The rules come in, three nodes start and join; an outsider is refused; rules change node by node, and nothing breaks or is lost."""
    lab = Rabbits(backend, binary)
    own, more = RabbitRules(tuple(lab.names), ("client",)), RabbitRules(tuple(lab.names) + ("stranger",), ("client",))
    for name in lab.names:
        lab.apply(name, own)
        lab.same(lab.state(name), "enforced", "state of " + name)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lab.start, lab.names + ["stranger"]))
    print("         started, RabbitMQ " + lab.ctl("n1", "version").stdout.strip(), flush=True)
    for name in lab.names[1:]:
        lab.join(name, "n1")
    nodes = sorted(map(lab.node, lab.names))
    for name in lab.names:
        lab.same(lab.running(name), nodes, "who runs")
    refused = lab.join("stranger", "n1", may_fail=True)
    lab.check(refused.returncode != 0, "the outsider joins")
    lab.same(lab.running("n1"), nodes, "who runs")
    # Until all of them ran, peers found nobody; strangers never did.
    before = lab.traffic.counts()
    lab.check(before["strangers"] > 0 and before["through"] == 0, "strangers got through: %s" % before["wrong"][:10])
    lab.traffic.begin()
    rolling(lab, own, more)
    lab.same(lab.running("n2"), nodes, "who runs")
    lab.same(lab.downs(), [], "nodes that went away, by the logs")
    time.sleep(1.3)
    counts = lab.traffic.counts()
    lab.same(counts["wrong"][:10], [], "connections that came to something else than the rules say")
    lab.check(counts["strangers"] > 0, "no stranger knocked")
    # What was looked for can be found.
    lab.ctl("n3", "stop")
    patiently("a node that went away is missed", lab.downs, 60)
    print("         strangers: %d tried, %d through; admitted: %d tried, 0 lost" 
          % (before["strangers"] + counts["strangers"], counts["through"], counts["admitted"]))
    return lab


def rolling(lab, own, more):
    for words in (["add_user", "lab", "lab"], ["set_permissions", "lab", ".*", ".*", ".*"]):
        lab.ctl("n1", *words)
    writer = amqp.Writer(lab.hosts["client"], lab.hosts["n2"].v4, USER, PASSWORD)
    writer.start()
    patiently(lambda: "the client writes: %s" % writer.lost, lambda: writer.confirmed > 10)
    order, changes = random.Random(5), 0
    for rules in (more, own) * 4:
        for name in order.sample(lab.names, len(lab.names)):
            lab.apply(name, rules)
            changes += 1
    writer.end()
    lab.same(writer.lost, [], "what the client lost")
    kept = within("client", lambda: amqp.Connection(lab.hosts["n3"].v4, USER, PASSWORD).declare(passive=True))
    lab.same(kept, writer.confirmed, "messages that are kept, and that were confirmed")
    print("         %d changes; %d messages, 0 lost" % (changes, kept), flush=True)
