"""Hosts: a network namespace each on one switch, with files of this machine that forget what is written to them.

All of it ends with the first process of the namespace of processes that it is in (see `inside`), whatever becomes of the rest.
"""

import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "machines"))
from netns import LIBC, enter, shell, within  # noqa: E402, what is beside these folders
# A file system in memory, of this run alone.
PLACE = pathlib.Path("/run/mesh")
# What all hosts see as /mnt.
SHARED = PLACE / "shared"
INSIDE = "RINGFENCE_MESH_INSIDE"
PR_SET_PDEATHSIG = 1
# How much longer everything may take than on an idle machine, and how much more rarely everybody knocks.
SLOWER = float(os.environ.get("PATIENCE") or 1)


def inside(seconds=None):
    """Begins once more in namespaces of its own, and returns there. Whatever ends this process ends all that it started, so many
    seconds at the latest."""
    if os.environ.get(INSIDE):
        shell("mount --make-rprivate / && mount -t tmpfs run /run && mkdir -p /run/netns /run/mesh/shared && ip link set lo up")
        resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
        return
    words = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc", "--"]
    words += [sys.executable, "-u"] + sys.argv
    sys.exit(follow(words, dict(os.environ, **{INSIDE: "1"}), seconds and seconds * SLOWER))


def follow(words, env=None, seconds=None):
    """How a program ends. It ends at the latest with this one, however that ends, and after so many seconds."""
    process = subprocess.Popen(words, env=env, preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), start_new_session=True)
    ended = []

    def end_it(number, _):
        ended.append(128 + number)
        os.kill(process.pid, signal.SIGKILL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_it)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        print("FAILED: not within %d seconds" % seconds, flush=True)
        os.kill(process.pid, signal.SIGKILL)
        code = process.wait() and 124
    return ended[0] if ended else code


def end(process):
    """Kills what nsenter started, of which the process that we know is only the parent."""
    try:
        for child in pathlib.Path("/proc/%d/task/%d/children" % (process.pid, process.pid)).read_text().split():
            os.kill(int(child), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return process.wait(30)


def patiently(what, true, seconds=30):
    """Waits until something is true; it is an error where that takes too long."""
    seconds *= SLOWER
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError("not within %d seconds: %s" % (seconds, what() if callable(what) else what))
        time.sleep(0.02)


class Host:
    """A machine on the switch, with an IPv4 and an IPv6 address."""

    def __init__(self, name, number):
        self.name, self.v4, self.v6 = name, "10.78.0.%d" % number, "fd78::%d" % number
        self.addresses = [self.v4, self.v6]
        shell("ip netns add {0}\nip link add p{0} type veth peer name eth0 netns {0}\nip link set p{0} master switch up\n"
              "ip -n {0} link set lo up".format(name))
        self.plug()
        words = ["nsenter", "--net=/run/netns/" + name, "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"]
        words += ["sh", str(HERE / "host.sh"), str(PLACE / name), name]
        self.log = open(PLACE / (name + ".log"), "wb")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)

    def wait(self):
        if self.process.stdout.readline() != b"ready\n":
            raise RuntimeError("%s does not start: %s" % (self.name, (PLACE / (self.name + ".log")).read_text()))
        children = pathlib.Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read_text().split()
        self.first = int(children[0])

    def plug(self):
        """The cable, and the addresses, which IPv6 loses without one."""
        shell("ip -n {0} addr replace {1}/24 dev eth0\nip -n {0} addr replace {2}/64 dev eth0 nodad\nip -n {0} link set eth0 up\n"
              "ip -n {0} addr replace {2}/64 dev eth0 nodad".format(self.name, self.v4, self.v6))

    def unplug(self):
        shell("ip -n %s link set eth0 down" % self.name)

    def path(self, path):
        """A file of the host, from outside."""
        return pathlib.Path("/proc/%d/root%s" % (self.first, path))

    def words(self, words):
        return ["nsenter", "--target", str(self.first), "--mount", "--net", "--pid", "--ipc", "--uts", "--"] + list(words)

    def run(self, *words, env=None, seconds=120):
        """What a command on the host ends with and prints."""
        return subprocess.run(self.words(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds * SLOWER,
                              env=dict(os.environ, **(env or {})))

    def begin(self, *words, **more):
        return subprocess.Popen(self.words(words), **more)

    def must(self, *words, **more):
        ended = self.run(*words, **more)
        if ended.returncode:
            raise AssertionError("%s: %s ends with %d\n%s%s" % (self.name, " ".join(words), ended.returncode, ended.stdout, ended.stderr))
        return ended.stdout


def build(numbers):
    """The switch, and hosts by name."""
    shell("ip link add switch type bridge mcast_snooping 0 forward_delay 0\nip link set switch up")
    hosts = {name: Host(name, number) for name, number in numbers.items()}
    for host in hosts.values():
        host.wait()
    return hosts
