"""Erlang nodes: a real epmd and two VMs on a host, one that speaks IPv4 to the others and one that speaks IPv6."""

import queue
import subprocess
import threading
import time

from place import HERE, SHARED, SLOWER, end, shell

COOKIE = "lab"
# Only who is told to connects: a question to a node that is gone connects to nobody.
WHEN_TOLD = ("-connect_all", "false", "-kernel", "dist_auto_connect", "never")
PORTS = (6000, 6009)


def compile_agent():
    shell("cd %s && erlc %s" % (SHARED, HERE / "mesh.erl"))


class Vm:
    """A node, driven by lines of its standard input (see mesh.erl)."""

    def __init__(self, host, family, hear, settings):
        self.host, self.family, self.hear = host, family, hear
        self.name = "riak@" + host.v4 if family == 4 else "six@" + host.v6
        self.number, self.waiting, self.lock, self.events = 0, {}, threading.Lock(), []
        words = ["erl", "-noshell", "-name", self.name, "-setcookie", COOKIE, "-start_epmd", "false", "-pa", "/mnt",
                 "-kernel", "inet_dist_listen_min", str(PORTS[0]), "inet_dist_listen_max", str(PORTS[1]), *settings,
                 "+S", "1:1", "+SDcpu", "1:1", "+SDio", "1", "+A", "1", "-eval", "mesh:start()."]
        if family == 6:
            words[2:2] = ["-proto_dist", "inet6_tcp"]
        self.process = host.begin(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=host.log, text=True, bufsize=1)
        self.ready = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def wait(self, seconds=20):
        if not self.ready.wait(seconds * SLOWER):
            raise AssertionError("%s does not start" % self.name)

    def read(self):
        for line in self.process.stdout:
            first, _, rest = line.rstrip("\n").partition(" ")
            if first == "*":
                what, _, node = rest.partition(" ")
                if what == "ready":
                    self.ready.set()
                else:
                    self.hear(self, what, node)
            else:
                with self.lock:
                    box = self.waiting.pop(first, None)
                if box:
                    box.put(rest)

    def ask(self, *words, seconds=30):
        """What it answers; `None` where it does not in time."""
        box = queue.SimpleQueue()
        with self.lock:
            self.number += 1
            number = str(self.number)
            self.waiting[number] = box
        try:
            self.process.stdin.write(" ".join((number,) + words) + "\n")
            self.process.stdin.flush()
            return box.get(timeout=seconds * SLOWER)
        except (queue.Empty, OSError, ValueError):
            return None

    def connect(self, other, seconds=30):
        return self.ask("connect", other.name, seconds=seconds) == "true"

    def drop(self, other):
        return self.ask("drop", other.name)

    def nodes(self):
        return (self.ask("nodes") or "").split()

    def counts(self):
        """Questions answered, questions lost, the longest wait in milliseconds."""
        return [int(word) for word in (self.ask("counts") or "0 0 0").split()]

    def kill(self):
        end(self.process)
        self.process.stdin.close()


class Erlang:
    """What of Erlang runs on a host."""

    def __init__(self, host, hear):
        self.host, self.hear, self.families, self.settings, self.vms, self.epmd = host, hear, (4, 6), WHEN_TOLD, {}, None

    def start(self):
        # In the foreground: whoever kills it knows which one.
        self.epmd = self.host.begin("epmd", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.host.log)
        end = time.monotonic() + 10 * SLOWER
        while self.host.run("epmd", "-names").returncode:
            if time.monotonic() > end:
                raise AssertionError("%s: epmd does not start" % self.host.name)
            time.sleep(0.02)
        self.vms = {family: Vm(self.host, family, self.hear, self.settings) for family in self.families}
        for vm in self.vms.values():
            vm.wait()
        return self

    def ports(self):
        """Where the VMs listen, as epmd says over loopback."""
        return sorted(int(line.split()[-1]) for line in self.host.must("epmd", "-names").splitlines() if line.startswith("name "))

    def kill(self):
        for vm in self.vms.values():
            vm.kill()
        self.vms = {}
        if self.epmd:
            end(self.epmd)
