"""A host and its wire in two network namespaces, for the rows of a world.

Needs nothing but python, iproute2 and the tools under test. Real connections are made from the `wire` to programs that
listen in the `host`; one process plays both ends, since a socket stays in the namespace in which it was made.
"""

import contextlib
import ctypes
import os
import select
import shutil
import socket
import subprocess
import time

HOST, WIRE = "rfw-host", "rfw-wire"
FOLDER = "/tmp/rfw"
# What listens: services of the cluster file, one that is blocked for everyone, one that nobody guards, and where
# translations lead to.
PORTS = (4369, 6000, 8087, 8098, 8099, 9999, 18098)
OWN = {4: "10.20.0.11", 6: "fd20::11"}
PEER = {4: "10.20.0.12", 6: "fd20::12"}
LEAVES = {4: "10.20.0.13", 6: "fd20::13"}
COMES = {4: "10.20.0.14", 6: "fd20::14"}
STRANGER = {4: "10.20.0.66", 6: "fd20::66"}
EVERYONE = (PEER, LEAVES, COMES, STRANGER)
BACKENDS = ("nft", "iptables-legacy", "iptables-nft")
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """What a row saw that should not be."""


class NotPossible(Exception):
    """This world lacks what the row is about."""


def sh(command, check=True, env=None, timeout=300):
    """Runs a command of the shell; its status and all that it printed."""
    ran = subprocess.run(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                         timeout=timeout, stdin=subprocess.DEVNULL, errors="replace")
    if check and ran.returncode:
        raise Failed(f"`{command}` ended with {ran.returncode}: {ran.stdout.strip()}")
    return ran.returncode, ran.stdout


def ip_batch(name, lines):
    """Many lines for ip(8) at once, in the namespace of that name."""
    ran = subprocess.run(["ip", "-n", name, "-batch", "-"], input=lines, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ran.returncode:
        raise Failed(f"ip -batch ended with {ran.returncode}: {ran.stdout.strip()}")


def family_of(version):
    return socket.AF_INET if version == 4 else socket.AF_INET6


@contextlib.contextmanager
def inside(name):
    """This thread in the namespace of that name."""
    with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{name}") as there:
        if LIBC.setns(there.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            LIBC.setns(here.fileno(), 0x40000000)


def cluster(last, more=""):
    """A cluster of three nodes, the last of which has this number."""
    nodes = "".join(f'[[node]]\nname = "riak@n{n}.example.com"\naddresses = ["10.20.0.{n}", "fd20::{n}"]\n'
                    for n in (11, 12, last))
    return ('[cluster]\nname = "worlds"\n[networks]\nprivate = ["10.20.0.0/24", "fd20::/64"]\n'
            f'{nodes}[services.distribution]\nports = "6000-6009"\n{more}')


class Machine:
    """One host with one cable, `eth1`, in a VRF or not, and the program in one of its forms."""

    def __init__(self, program, backend, vrf=False, files=True):
        self.program, self.backend = program, backend
        self.environment = dict(os.environ, XTABLES_LOCKFILE="/proc/self/ns/net")
        self.environment.pop("SSH_CONNECTION", None)
        if backend != "nft":
            variant = backend.split("-")[1]
            self.environment["PATH"] = tools(variant) + ":" + os.environ["PATH"]
        self.servers, self.children = [], []
        self.close()
        os.makedirs(FOLDER)
        for name in (HOST, WIRE):
            self.make_namespace(name)
            # An address is to serve at once.
            sh(f"ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0")
        sh(f"ip link add eth1 netns {HOST} type veth peer name eth1 netns {WIRE}")
        if vrf:
            self.make_vrf()
        up = "link set lo up\nlink set eth1 up\n"
        ip_batch(HOST, up + "addr add 10.20.0.11/24 dev eth1\naddr add fd20::11/64 dev eth1 nodad\n")
        # Whatever else the host answers for is reached through its address.
        ip_batch(WIRE, up + "".join(f"addr add {who[4]}/24 dev eth1\naddr add {who[6]}/64 dev eth1 nodad\n" for who in EVERYONE)
                 + f"route add 10.20.7.0/24 via {OWN[4]}\nroute add 10.30.0.0/16 via {OWN[4]}\n"
                 + f"route add fd20:7::/64 via {OWN[6]}\nroute add fd30::/64 via {OWN[6]}\n")
        self.listen()
        if files:
            self.write("a.toml", cluster(13))
            self.write("b.toml", cluster(14))

    def make_namespace(self, name):
        sh(f"ip netns add {name}")

    def make_vrf(self):
        sh("modprobe vrf", check=False)
        status, said = self.host("ip link add blue type vrf table 10", check=False)
        if status:
            self.close()
            raise NotPossible(f"no VRF device: {said.strip()}")
        self.host("ip link set blue up; ip route add table 10 unreachable default metric 4278198272; "
                  "ip -6 route add table 10 unreachable default metric 4278198272; "
                  "ip link set eth1 master blue; sysctl -qw net.ipv4.tcp_l3mdev_accept=1")

    def listen(self):
        with inside(HOST):
            for port in PORTS:
                server = socket.socket(socket.AF_INET6)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.bind(("::", port))
                server.listen(64)
                server.setblocking(False)
                self.servers.append(server)

    def write(self, name, text):
        with open(f"{FOLDER}/{name}", "w") as file:
            file.write(text)

    def host(self, command, check=True):
        quoted = command.replace("'", "'\\''")
        return sh(f"ip netns exec {HOST} sh -c '{quoted}'", check, self.environment)

    def arguments(self, arguments):
        words = [os.path.join(FOLDER, word) if word.endswith(".toml") else word for word in arguments.split()]
        words += ["--state-dir", f"{FOLDER}/state"]
        if words[0] in ("apply", "remove"):
            words += ["--root", f"{FOLDER}/root"]
        if words[0] == "apply":
            words += ["--backend", self.backend.split("-")[0]]
        return " ".join(words)

    def run(self, arguments, code=None, says=None):
        """The program with these arguments: its status and all that it said."""
        status, said = self.host(f"{self.program} {self.arguments(arguments)}", check=False)
        if code is not None and status != code:
            raise Failed(f"`{arguments}` ended with {status}, not {code}: {said.strip()}")
        if says is not None and says not in said:
            raise Failed(f"`{arguments}` does not say `{says}`: {said.strip()}")
        return status, said

    def start(self, arguments):
        """The same in the background, until this machine is closed."""
        command = f"exec ip netns exec {HOST} {self.program} {self.arguments(arguments)}"
        child = subprocess.Popen(command, shell=True, env=self.environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def knows(self, command):
        return f"\n  {command} " in sh(f"{self.program} --help")[1]

    def connect(self, attempts):
        """Tries (name, version, source, destination, port) all at once: the names whose connection carried data both ways.

        What is blocked is given as long as it took the slowest that was not, and half a second.
        """
        clients, open_, waiting = {}, set(), {}
        with inside(WIRE):
            for name, version, source, destination, port in attempts:
                client = socket.socket(family_of(version))
                client.setblocking(False)
                client.bind((source, 0))
                client.connect_ex((destination, port))
                clients[client] = name
        poll_until = time.monotonic() + 0.7
        sent = set()
        while time.monotonic() < poll_until:
            readers = self.servers + list(waiting) + [client for client in clients if client in sent]
            writers = [client for client in clients if client not in sent]
            readable, writable, _ = select.select(readers, writers, [], 0.05)
            for one in writable:
                sent.add(one)
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    one.send(b"x")
            for one in readable:
                self.serve(one, waiting)
                if one in clients and self.received(one):
                    open_.add(clients[one])
                    poll_until = time.monotonic() + 0.7
        for one in list(clients) + list(waiting):
            one.close()
        return open_

    def serve(self, one, waiting):
        if one in self.servers:
            session, _ = one.accept()
            session.setblocking(False)
            waiting[session] = True
        elif one in waiting:
            try:
                data = one.recv(10)
                if data:
                    one.send(data)
                    return
            except OSError:
                pass
            del waiting[one]
            one.close()

    @staticmethod
    def received(client):
        try:
            return client.recv(10) == b"x"
        except OSError:
            return False

    def expect(self, open_, closed):
        """Both are lists of (who, port) of the plain addresses, in both families."""
        attempts, wanted = [], set()
        for who, port in open_ + closed:
            for version in (4, 6):
                name = f"{who[version]} to port {port}"
                attempts.append((name, version, who[version], OWN[version], port))
                if (who, port) in open_:
                    wanted.add(name)
        got = self.connect(attempts)
        if got != wanted:
            raise Failed("; ".join([f"{name} got through" for name in sorted(got - wanted)]
                                   + [f"{name} was kept out" for name in sorted(wanted - got)]))

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        for server in self.servers:
            server.close()
        self.servers, self.children = [], []
        for name in (HOST, WIRE):
            self.end_namespace(name)
        shutil.rmtree(FOLDER, ignore_errors=True)

    def end_namespace(self, name):
        _, pids = sh(f"ip netns pids {name}", check=False)
        for pid in pids.split():
            if pid.isdigit() and int(pid) != os.getpid():
                os.kill(int(pid), 9)
        sh(f"ip netns del {name}", check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def tools(variant):
    """A folder in which iptables and its relatives without a variant in their name are of this one."""
    folder = f"/tmp/rfw-tools/{variant}"
    os.makedirs(folder, exist_ok=True)
    multi = shutil.which(f"xtables-{variant}-multi", path="/usr/sbin:/sbin")
    if not multi:
        raise NotPossible(f"no iptables of the variant {variant}")
    for tool in ("iptables", "ip6tables"):
        for action in ("", "-save", "-restore"):
            link = f"{folder}/{tool}{action}"
            if not os.path.islink(link):
                os.symlink(multi, link)
    return folder


def text_of(error):
    return " ".join(str(error).split())
