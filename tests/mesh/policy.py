"""The cluster file of each host, and whom its rules admit at which time: what every connection is judged by.

While a change is under way a host may judge by the old or the new rules, and nothing else. While its rules are flushed it blocks
nobody. So a host has a *span* of time after another, each with the rules that may be in force then.
"""

import collections
import time

from nodes import PORTS

# What the rules are about. The distribution ports are those on which the VMs of a node take connections.
EPMD, HTTP, HANDOFF, PROTOBUF = 4369, 8098, 8099, 8087
DISTRIBUTION = [PORTS[0], PORTS[0] + 1]
# Nobody listens at the end of the range. There a refusal shows that somebody got through.
PORTS_ASKED = [EPMD, HTTP, HANDOFF, PROTOBUF, PORTS[1]] + DISTRIBUTION
UNTRUSTED = ["10.78.0.200/29", "fd78::200/120"]
# A client's network around them admits nobody in them.
AROUND = "10.78.0.192/26", "fd78::200/119"

FILE = """[cluster]
name = "lab"

[networks]
private = ["10.78.0.0/24", "fd78::/64"]
untrusted = {untrusted}

{nodes}{clients}[services.distribution]
ports = "{low}-{high}"
"""
NODE = '[[node]]\nname = "riak@{0}"\naddresses = ["{0}", "{1}"]\n\n'
CLIENT = '[[client]]\nname = "{0}"\nfrom = ["{1}", "{2}"]\nservices = ["http"]\n\n'


def quoted(words):
    return "[%s]" % ", ".join('"%s"' % word for word in words)


class Rules(collections.namedtuple("Rules", "members clients")):
    """Who is in a cluster file: names of hosts."""

    def text(self, hosts):
        nodes = "".join(NODE.format(hosts[name].v4, hosts[name].v6) for name in self.members)
        clients = "".join(CLIENT.format(name, hosts[name].v4, hosts[name].v6) for name in self.clients) + CLIENT.format("around", *AROUND)
        return FILE.format(untrusted=quoted(UNTRUSTED), nodes=nodes, clients=clients, low=PORTS[0], high=PORTS[1])

    def admit(self, source, port):
        return port != PROTOBUF and (source in self.members or source in self.clients and port == HTTP)


PROGRAM = """[cluster]
name = "{name}"
profile = "{profile}"

[networks]
private = ["10.78.0.0/24", "fd78::/64"]
untrusted = {untrusted}

{nodes}{clients}"""


class ProgramRules(Rules):
    """The same for a program with a profile: its cluster, the profile, whose nodes these are, and the service of its clients."""

    name = profile = user = service = None

    def text(self, hosts):
        nodes = "".join(NODE.format(hosts[name].v4, hosts[name].v6).replace("riak@", self.user + "@") for name in self.members)
        clients = "".join(CLIENT.format(name, hosts[name].v4, hosts[name].v6).replace("http", self.service) for name in self.clients)
        return PROGRAM.format(name=self.name, profile=self.profile, untrusted=quoted(UNTRUSTED), nodes=nodes, clients=clients)


class Nothing:
    """No rules: nobody is blocked."""

    def admit(self, source, port):
        return True


class Down:
    """The host is not there, or what listens on it is not."""

    def admit(self, source, port):
        return False


NOTHING, DOWN = Nothing(), Down()
MUST_PASS, MUST_NOT, EITHER, FLUSHED = "must pass", "must not", "either", "flushed"


class Guard:
    """What a host's rules may be, from when on."""

    def __init__(self):
        self.spans = [(0.0, (NOTHING,))]

    def may_be(self, *rules):
        """From now on one of these."""
        now = time.monotonic()
        self.spans = [span for at, span in enumerate(self.spans) if at + 1 == len(self.spans) or self.spans[at + 1][0] > now - 30] + [(now, rules)]

    def now(self):
        return self.spans[-1][1]

    def between(self, begin, end):
        found = []
        spans = self.spans
        for at, (start, rules) in enumerate(spans):
            until = spans[at + 1][0] if at + 1 < len(spans) else float("inf")
            if start <= end and until >= begin:
                found += rules
        return found

    def verdict(self, source, port, begin, end):
        """What a connection that began and ended then has to come to."""
        rules = self.between(begin, end)
        admit = {rule.admit(source, port) for rule in rules}
        if len(admit) == 1:
            return MUST_PASS if admit == {True} else MUST_NOT
        others = {rule.admit(source, port) for rule in rules if rule is not NOTHING}
        return FLUSHED if others == {False} else EITHER
