"""Hosts with rules, and everybody who knocks at their doors: what labs of any program have in common."""

import json
import shutil

from place import SHARED, build
from policy import Guard
from traffic import Traffic

RINGFENCE = "/mnt/ringfence"
FILE = "/etc/ringfence/cluster.toml"
# The last lies in an untrusted network inside of the private one.
OTHERS = dict(client=50, stranger=100, untrusted=200)


class Ground:
    """`names` are the hosts with rules, the others those that knock, too."""

    def __init__(self, count, backend, binary, pace, **ports):
        self.passed, self.backend, self.files = 0, backend, {}
        shutil.copy(binary, SHARED / "ringfence")
        self.names = ["n%d" % at for at in range(1, count + 1)]
        self.hosts = build(dict({name: 10 + at for at, name in enumerate(self.names, 1)}, **OTHERS))
        self.guards = {name: Guard() for name in self.hosts}
        self.traffic = Traffic(self.hosts, self.guards, pace, **ports)
        self.traffic.targets = list(self.names)
        self.traffic.sources = list(self.hosts)

    def check(self, true, what):
        if not true:
            raise AssertionError(what)
        self.passed += 1

    def same(self, one, other, what):
        self.check(one == other, "%s:\n%s\n---- and not\n%s" % (what, str(one)[:2000], str(other)[:2000]))

    def write(self, name, rules):
        self.hosts[name].path(FILE).write_text(rules.text(self.hosts))
        self.files[name] = rules

    def apply(self, name, rules=None, *arguments):
        """The rules come into force, and until they are it may be either."""
        rules = rules or self.files[name]
        self.write(name, rules)
        self.changes(name, rules)
        said = self.ringfence(name, "apply", "--backend", self.backend, *arguments)
        self.is_now(name, rules)
        return said

    def changes(self, name, *rules):
        """From now on its rules may be these, too."""
        self.traffic.hot = name
        self.guards[name].may_be(*dict.fromkeys(self.guards[name].now() + rules))

    def is_now(self, name, rules):
        self.guards[name].may_be(rules)

    def ringfence(self, name, *words, codes=(0,)):
        ended = self.hosts[name].run(RINGFENCE, *words)
        if ended.returncode not in codes:
            raise AssertionError("%s: ringfence %s ends with %d\n%s%s" % (name, " ".join(words), ended.returncode, ended.stdout, ended.stderr))
        return ended.stdout + ended.stderr

    def state(self, name):
        return json.loads(self.hosts[name].run(RINGFENCE, "status", "--json").stdout)["state"]
