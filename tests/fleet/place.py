"""Places: one network namespace for each node, with a copy of this machine that forgets, and an sshd; one for strangers.

All of it ends with the first process of the namespace of processes that it is in (see `inside`), whatever becomes of the rest.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "machines"))
from netns import enter, shell, within  # noqa: E402, what is beside these folders
# A file system in memory, of this run alone.
PLACE = pathlib.Path("/run/fleet")
SHARED = PLACE / "shared"
CONTROLLER = "10.77.0.254"
STRANGER = "10.77.0.200"
INSIDE = "RINGFENCE_FLEET_INSIDE"


def inside():
    """Begins once more in namespaces of its own, and returns there."""
    if os.environ.get(INSIDE):
        shell("mount --make-rprivate / && mount -t tmpfs run /run && mkdir -p /run/netns /run/fleet/shared && ip link set lo up")
        return
    words = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--"]
    words += [sys.executable] + sys.argv
    sys.exit(subprocess.run(words, env=dict(os.environ, **{INSIDE: "1"})).returncode)


class Node:
    def __init__(self, number):
        self.name = "n%d" % number
        self.address = "10.77.0.%d" % (10 + number)
        self.riak = "riak@" + self.address
        cable(self.name, self.address)
        words = ["nsenter", "--net=/run/netns/" + self.name, "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"]
        words += ["sh", str(HERE / "node.sh"), str(PLACE / self.name), self.address]
        self.log = open(PLACE / (self.name + ".log"), "wb")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)

    def wait(self):
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("%s does not start: %s" % (self.name, (PLACE / (self.name + ".log")).read_text()))
        children = pathlib.Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read_text().split()
        self.first = int(children[0])

    def path(self, path):
        """A file of the node, from outside."""
        return pathlib.Path("/proc/%d/root%s" % (self.first, path))

    def run(self, *words):
        """What a command on the node ends with and prints."""
        enter_it = ["nsenter", "--target", str(self.first), "--mount", "--net", "--pid", "--ipc", "--uts", "--"]
        return subprocess.run(enter_it + list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def is_pending(self):
        return self.path("/run/ringfence/pending").exists()

    def stop_answering(self):
        """No new connection of ssh; those that are open stay."""
        self.run("sh", "-c", "kill -9 $(cat /run/sshd.listener)")

    def hang_up(self):
        """No old one, either: the controller keeps its connections open for a while."""
        self.run("pkill", "-9", "-x", "sshd")

    def answer_again(self):
        os.kill(self.first, signal.SIGUSR1)
        patiently("%s answers" % self.name, lambda: self.run("sh", "-c", "ss -ltn | grep -q ':22 '").returncode == 0)


def cable(name, address):
    """A namespace on the switch."""
    shell("ip netns add {0}\nip link add p{0} type veth peer name eth0 netns {0}\nip link set p{0} master switch up\n"
          "ip -n {0} link set lo up\nip -n {0} addr add {1}/24 dev eth0\nip -n {0} link set eth0 up".format(name, address))


def patiently(what, true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError("not within %d seconds: %s" % (seconds, what))
        time.sleep(0.02)


def build(count):
    """The switch, the strangers, the nodes, and the keys of this run."""
    shell("ip link add switch type bridge\nip addr add %s/24 dev switch\nip link set switch up" % CONTROLLER)
    cable("strangers", STRANGER)
    shell("cd %s && ssh-keygen -q -t ed25519 -N '' -f ../key && cp ../key.pub authorized && ssh-keygen -q -t ed25519 -N '' -f host" % SHARED)
    (SHARED / "sshd_config").write_text(
        "Port 22\nHostKey /srv/fleet/host\nAuthorizedKeysFile /srv/fleet/authorized\nPermitRootLogin prohibit-password\nStrictModes no\n"
        "PasswordAuthentication no\nUsePAM no\nUseDNS no\nPidFile none\nMaxStartups 100\nSubsystem sftp internal-sftp\n")
    (SHARED / "first.py").write_text((HERE / "first.py").read_text())
    (SHARED / "riak-admin").write_text("#!/bin/sh\nexec cat /srv/fleet/members\n")
    nodes = [Node(number) for number in range(1, count + 1)]
    for node in nodes:
        node.wait()
    return nodes
