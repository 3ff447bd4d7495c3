"""The lab: hosts, Erlang on them, their rules, and what must hold of it all."""

import concurrent.futures
import json
import os
import shutil
import signal
import threading
import time

import policy
from nodes import Erlang, compile_agent
from place import SHARED, build, end, patiently
from policy import DOWN, NOTHING, Guard, Rules
from traffic import Servers, Traffic

RINGFENCE = "/mnt/ringfence"
FILE = "/etc/ringfence/cluster.toml"
# The last lies in an untrusted network inside of the private one.
OTHERS = dict(client=50, stranger=100, untrusted=200)


class Lab:
    def __init__(self, count, backend, binary, pace, guarded=True):
        self.passed, self.backend, self.guarded = 0, backend, guarded
        shutil.copy(binary, SHARED / "ringfence")
        compile_agent()
        self.names = ["n%d" % at for at in range(1, count + 1)]
        self.hosts = build(dict({name: 10 + at for at, name in enumerate(self.names, 1)}, **OTHERS))
        self.guards = {name: Guard() for name in self.hosts}
        self.files = {}
        self.lock, self.stable, self.ended, self.broken = threading.Lock(), set(), [], []
        self.families = {}
        self.servers = Servers([self.hosts[name] for name in self.names])
        self.servers.start()
        self.traffic = Traffic(self.hosts, self.names, self.guards, pace)
        self.traffic.targets = list(self.names)
        self.traffic.sources = list(self.hosts)
        self.erlang = {name: Erlang(self.hosts[name], self.hear) for name in self.names}

    # What is checked.

    def check(self, true, what):
        if not true:
            raise AssertionError(what)
        self.passed += 1

    def same(self, one, other, what):
        self.check(one == other, "%s:\n%s\n---- and not\n%s" % (what, one, other))

    def settle(self, flushed=False):
        """Nothing went wrong since this was asked last: with strangers, with who is admitted, with Erlang's connections."""
        time.sleep(1.3)
        counts = self.traffic.counts()
        self.same(counts["wrong"][:10], [], "connections that came to something else than the rules say")
        self.check(counts["strangers"] > 0, "no stranger knocked")
        with self.lock:
            broken = list(self.broken)
        self.same(broken, [], "connections of Erlang between admitted nodes that broke")
        asked, unanswered, longest = self.beats()
        self.same(unanswered, 0, "questions between nodes that nobody answered")
        if not flushed:
            self.same(counts["flushed"], 0, "strangers through flushed rules where nobody flushed")
        print("         strangers: %d tried, %d through%s; admitted: %d tried, 0 lost; %d of Erlang's connections held, %d questions, at most %d ms"
              % (counts["strangers"], counts["through"], ", %d while flushed" % counts["flushed"] if flushed else "", counts["admitted"],
                 len(self.stable), asked, longest), flush=True)
        self.traffic.begin()
        return counts

    def beats(self):
        found = [vm.counts() for name in self.names for vm in self.erlang[name].vms.values()]
        return sum(one[0] for one in found), sum(one[1] for one in found), max([one[2] for one in found] or [0])

    # Erlang's connections.

    def hear(self, vm, what, node):
        other = node.split("@")[1]
        pair = frozenset((vm.host.name, next(name for name, host in self.hosts.items() if other in host.addresses))), vm.family
        with self.lock:
            if what == "down":
                self.ended.append((time.monotonic(), vm.name, node))
                if pair in self.stable:
                    self.broken.append("%s lost %s" % (vm.name, node))

    def vm(self, name, family):
        return self.erlang[name].vms[family]

    def names_of(self, name):
        return [vm.name for vm in self.erlang[name].vms.values()]

    def connect(self, one, other, family):
        return self.vm(one, family).connect(self.vm(other, family))

    def is_refused(self, one, other):
        """Neither by IPv4 nor by IPv6, which takes Erlang seven seconds to see."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda family: self.connect(one, other, family), (4, 6)))
        self.same(found, [False, False], "how %s gets to %s by IPv4 and IPv6" % (one, other))

    def connected(self, one, other, family):
        return self.vm(other, family).name in self.vm(one, family).nodes()

    def mesh(self, names, order=None):
        """All of these are connected with each other, and from now on are to stay so."""
        for at, one in enumerate(names):
            for other in names[at + 1:]:
                for family in (4, 6):
                    first, second = (one, other) if order is None or order.random() < 0.5 else (other, one)
                    if not self.connected(first, second, family):
                        self.check(self.connect(first, second, family), "%s does not reach %s by IPv%d" % (first, second, family))
                    with self.lock:
                        self.stable.add((frozenset((one, other)), family))

    def may_part(self, name, others=None):
        """The connections of this host are no longer to be kept."""
        with self.lock:
            self.stable = {(pair, family) for pair, family in self.stable if name not in pair or others and not pair & set(others)}

    def disconnect(self, one, other, family):
        with self.lock:
            self.stable.discard((frozenset((one, other)), family))
        self.vm(one, family).drop(self.vm(other, family))
        patiently("they part", lambda: not self.connected(one, other, family) and not self.connected(other, one, family))

    # Rules.

    def write(self, name, rules):
        self.hosts[name].path(FILE).write_text(rules.text(self.hosts))
        self.files[name] = rules

    def apply(self, name, rules=None, *arguments):
        """The rules come into force, and until they are it may be either."""
        guard, rules = self.guards[name], rules or self.files[name]
        self.write(name, rules)
        if not self.guarded:
            guard.may_be(rules)
            return ""
        guard.may_be(*guard.now(), rules)
        said = self.ringfence(name, "apply", "--backend", self.backend, *arguments)
        guard.may_be(rules)
        return said

    def ringfence(self, name, *words, codes=(0,)):
        ended = self.hosts[name].run(RINGFENCE, *words)
        if ended.returncode not in codes:
            raise AssertionError("%s: ringfence %s ends with %d\n%s%s" % (name, " ".join(words), ended.returncode, ended.stdout, ended.stderr))
        return ended.stdout + ended.stderr

    def state(self, name):
        return json.loads(self.hosts[name].run(RINGFENCE, "status", "--json").stdout)["state"]

    def kill_apply(self, name, rules, seconds):
        """`apply` is killed after so long. Whether it came to its end."""
        guard = self.guards[name]
        self.write(name, rules)
        guard.may_be(*guard.now(), rules)
        process = self.hosts[name].begin(RINGFENCE, "apply", "--backend", self.backend, stdout=-3, stderr=-3, stdin=-3)
        time.sleep(seconds)
        was_over = process.poll() is not None
        end(process)
        return was_over

    def flush(self, name):
        """Somebody takes all rules of the host away."""
        guard = self.guards[name]
        guard.may_be(*guard.now(), NOTHING)
        self.hosts[name].must("nft", "flush", "ruleset")

    def restore(self, name, *words):
        """What the drift timer runs, or something else that is to bring back what was applied last."""
        self.ringfence(name, *(words or ("hook", "check")))
        self.guards[name].may_be(self.files[name])

    def reboot(self, name):
        """Everything that runs there ends, the kernel forgets its rules, and the machine starts as the units have it: rules, then network."""
        host, guard = self.hosts[name], self.guards[name]
        self.may_part(name)
        before = guard.now()
        guard.may_be(*before, DOWN)
        self.erlang[name].kill()
        host.unplug()
        host.must("sh", "-ec", "nft flush ruleset; ipset destroy; rm -rf /run/ringfence; echo > /proc/sys/net/ipv4/ip_local_reserved_ports")
        code = host.run(RINGFENCE, "apply", "--boot").returncode
        self.same(code, 0, "how the start of the machine ends")
        host.plug()
        self.erlang[name].start()
        time.sleep(0.3)
        guard.may_be(self.files[name])
