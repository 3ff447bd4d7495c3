"""The lab: hosts with rules, Erlang on them, and what must hold of it all."""

import concurrent.futures
import subprocess
import threading
import time

from ground import RINGFENCE, Ground
from nodes import Erlang, compile_agent
from place import SLOWER, end, patiently
from policy import DOWN, NOTHING
from traffic import Servers


class Lab(Ground):
    def __init__(self, count, backend, binary, pace):
        super().__init__(count, backend, binary, pace)
        self.past = [0, 0, 0]
        compile_agent()
        self.lock, self.stable, self.ended, self.broken = threading.Lock(), set(), [], []
        self.servers = Servers([self.hosts[name] for name in self.names])
        self.servers.start()
        self.erlang = {name: Erlang(self.hosts[name], self.hear) for name in self.names}

    def settle(self, flushed=False):
        """Nothing went wrong since this was asked last: with strangers, with who is admitted, with Erlang's connections."""
        time.sleep(1.3 * SLOWER)
        counts = self.traffic.counts()
        self.same(counts["wrong"][:10], [], "connections that came to something else than the rules say")
        self.check(counts["strangers"] > 0, "no stranger knocked")
        with self.lock:
            broken = list(self.broken)
        self.same(broken, [], "connections of Erlang between admitted nodes that broke")
        asked, unanswered, longest = self.beats()
        self.same(unanswered, 0, "questions between nodes that nobody answered")
        if not flushed:
            self.same(counts["flushed"], 0, "strangers through where rules were to be, and were not")
        print("         strangers: %d tried, %d through%s; admitted: %d tried, 0 lost; %d of Erlang's connections held, %d questions, at most %d ms"
              % (counts["strangers"], counts["through"], ", %d while there were no rules" % counts["flushed"] if flushed else "", counts["admitted"],
                 len(self.stable), asked, longest), flush=True)
        self.traffic.begin()
        self.traffic.hot = None
        return counts

    def beats(self):
        """Questions that nodes asked each other and that were answered, and that were not; the longest wait in milliseconds."""
        found = [vm.counts() for name in self.names for vm in self.erlang[name].vms.values()] + [self.past]
        return sum(one[0] for one in found), sum(one[1] for one in found), max(one[2] for one in found)

    def stop(self, name):
        """What of Erlang runs there is killed. What it counted stays."""
        for vm in self.erlang[name].vms.values():
            counts = vm.counts()
            self.past = [self.past[0] + counts[0], self.past[1] + counts[1], max(self.past[2], counts[2])]
        self.erlang[name].kill()

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

    def kill_apply(self, name, rules, seconds):
        """`apply` is killed after so long. Whether it came to its end."""
        self.write(name, rules)
        self.changes(name, rules)
        process = self.hosts[name].begin(RINGFENCE, "apply", "--backend", self.backend, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        was_over = process.poll() is not None
        end(process)
        return was_over

    def flush(self, name):
        """Somebody takes all rules of the host away."""
        self.changes(name, NOTHING)
        self.hosts[name].must("nft", "flush", "ruleset")

    def restore(self, name, *words):
        """What the drift timer runs, or something else that is to bring back what was applied last."""
        self.ringfence(name, *(words or ("hook", "check")))
        self.is_now(name, self.files[name])

    def reboot(self, name):
        """Everything that runs there ends, the kernel forgets its rules, and the machine starts as the units have it: rules, then network."""
        host = self.hosts[name]
        self.may_part(name)
        self.changes(name, DOWN)
        self.stop(name)
        host.unplug()
        host.must("sh", "-ec", "nft flush ruleset; ipset destroy; rm -rf /run/ringfence; echo > /proc/sys/net/ipv4/ip_local_reserved_ports")
        self.boot(name)
        host.plug()
        self.erlang[name].start()
        time.sleep(0.3)
        self.is_now(name, self.files[name])

    def boot(self, name):
        self.ringfence(name, "apply", "--boot")
