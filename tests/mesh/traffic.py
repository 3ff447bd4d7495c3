"""Who listens on the hosts, and who knocks on and on; everything that comes of it is held against what the rules may be (see policy).

A segment that is lost is seen by what TCP does about it, not by a clock that a busy machine moves: a connection whose first
segment was sent twice.
"""

import collections
import errno
import random
import select
import socket
import struct
import threading
import time

import policy
from nodes import PORTS
from place import enter, within

LISTENERS = [policy.HTTP, policy.HANDOFF, policy.PROTOBUF]
# Less than the second after which TCP sends the first segment again (RFC 6298).
PATIENCE = 0.9
# Where struct tcp_info of linux/tcp.h has it.
TOTAL_RETRANS = 100
ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def sent_again(connection):
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("I", info, TOTAL_RETRANS)[0]


class Servers(threading.Thread):
    """HTTP (`PUT /N`, which is kept) and handoff (who is taken in and hung up on) on every node, IPv4 and IPv6."""

    def __init__(self, hosts):
        super().__init__(daemon=True)
        self.epoll, self.listeners, self.open, self.kept = select.epoll(), {}, {}, collections.Counter()
        for host in hosts:
            for port in LISTENERS:
                listener = within(host.name, lambda: socket.create_server(("::", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True))
                listener.setblocking(False)
                self.listeners[listener.fileno()] = listener, host.name, port
                self.epoll.register(listener, select.EPOLLIN)

    def run(self):
        while True:
            for number, _ in self.epoll.poll():
                if number in self.listeners:
                    self.accept(*self.listeners[number])
                else:
                    self.hear(number)

    def accept(self, listener, name, port):
        try:
            while True:
                connection, _ = listener.accept()
                if port != policy.HTTP:
                    connection.close()
                    continue
                connection.setblocking(False)
                self.open[connection.fileno()] = connection, name
                self.epoll.register(connection, select.EPOLLIN)
        except OSError:
            pass

    def hear(self, number):
        connection, name = self.open[number]
        try:
            heard = connection.recv(4096)
            if heard.startswith(b"PUT /"):
                self.kept[name, int(heard[5:].split(b" ")[0])] += 1
                connection.send(ANSWER)
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.epoll.unregister(number)
        self.open.pop(number)[0].close()


class Knock:
    """A connection that begins."""

    def __init__(self, source, target, family, port):
        self.source, self.target, self.family, self.port = source.name, target.name, family, port
        self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
        self.socket.setblocking(False)
        self.begun = time.monotonic()
        error = self.socket.connect_ex((target.v4 if family == 4 else target.v6, port))
        # Where no way leads there nothing is ever sent.
        self.at_once = None if error in (0, errno.EINPROGRESS) else errno.errorcode.get(error, str(error))

    def answer(self, poll_done, asked):
        """`None` while there is none. Otherwise what came. ASKED is when it was asked for what is done, or before."""
        if self.at_once:
            return self.at_once
        if not poll_done:
            return "silence" if asked - self.begun > PATIENCE else None
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return errno.errorcode.get(error, str(error))
        return "sent twice" if sent_again(self.socket) else "through"

    def __str__(self):
        return "%s to %s, IPv%d, port %d" % (self.source, self.target, self.family, self.port)


class Traffic(threading.Thread):
    """Knocks from everybody at every guarded port of everybody. The counts are those since `begin`."""

    def __init__(self, hosts, guards, pace, ports=policy.PORTS_ASKED, refusing=policy.DISTRIBUTION + [PORTS[1]]):
        super().__init__(daemon=True)
        self.hosts, self.guards, self.pace = hosts, guards, pace
        # What is asked. On some ports somebody listens in one family only, or nobody: there a peer may be refused.
        self.ports, self.refusing = ports, refusing
        self.lock, self.sources, self.targets = threading.Lock(), [], []
        # Whose rules change now: strangers knock there all the time.
        self.hot, self.strangers = None, ["stranger", "untrusted"]
        self.failed = None
        self.begin()

    def begin(self):
        with self.lock:
            self.count, self.wrong = collections.Counter(), []
            self.passed = collections.Counter()

    def run(self):
        self.waiting, self.poll = {}, select.poll()
        try:
            while True:
                for source in list(self.sources):
                    enter(source)
                    for target in list(self.targets):
                        if source == target:
                            continue
                        self.knock(source, target, self.ports)
                    self.sweep()
                end = time.monotonic() + self.pace
                while time.monotonic() < end:
                    hot = self.hot
                    for source in self.strangers if hot else ():
                        enter(source)
                        self.knock(source, hot, [random.choice(self.ports)])
                    self.sweep()
                    time.sleep(0.01)
        except BaseException as error:
            self.failed = error
            raise

    def knock(self, source, target, ports):
        for family in (4, 6):
            for port in ports:
                knock = Knock(self.hosts[source], self.hosts[target], family, port)
                self.waiting[knock.socket.fileno()] = knock
                self.poll.register(knock.socket, select.POLLOUT)

    def sweep(self):
        asked = time.monotonic()
        done = {number for number, _ in self.poll.poll(0)}
        for number, knock in list(self.waiting.items()):
            answer = knock.answer(number in done, asked)
            if answer is not None:
                self.judge(knock, answer, time.monotonic())
                self.poll.unregister(number)
                knock.socket.close()
                del self.waiting[number]

    def judge(self, knock, answer, end):
        verdict = self.guards[knock.target].verdict(knock.source, knock.port, knock.begun, end)
        if verdict == policy.MUST_PASS and policy.DOWN in self.guards[knock.source].between(knock.begun, end):
            verdict = policy.EITHER
        # A refusal comes from the host as much as a connection does.
        refused = answer == "ECONNREFUSED"
        fine = answer == "through" or refused and knock.port in self.refusing
        reached = fine or refused or answer == "sent twice"
        with self.lock:
            self.count[verdict, reached] += 1
            if reached:
                self.passed[knock.source, knock.target, knock.family, knock.port] += 1
            if verdict == policy.MUST_NOT and reached or verdict == policy.MUST_PASS and not fine:
                self.wrong.append("%s: %s, and %s" % (knock, answer, verdict))

    def counts(self):
        if self.failed:
            raise self.failed
        with self.lock:
            count = self.count
            return dict(strangers=count[policy.MUST_NOT, True] + count[policy.MUST_NOT, False], through=count[policy.MUST_NOT, True],
                        flushed=count[policy.FLUSHED, True], admitted=count[policy.MUST_PASS, True] + count[policy.MUST_PASS, False],
                        wrong=list(self.wrong))


class Writer(threading.Thread):
    """A client that writes to every node by HTTP, each time over a new connection, and knows what was answered."""

    def __init__(self, client, targets):
        super().__init__(daemon=True)
        self.client, self.targets = client, targets
        self.number, self.answered, self.lost, self.again, self.on = 0, [], [], 0, True

    def run(self):
        enter(self.client.name)
        while self.on:
            for target in self.targets:
                for address in target.addresses:
                    self.write(target, address)
            time.sleep(0.01)

    def write(self, target, address):
        self.number += 1
        try:
            with socket.create_connection((address, policy.HTTP), 5) as connection:
                connection.send(b"PUT /%d HTTP/1.1\r\nHost: lab\r\nContent-Length: 0\r\n\r\n" % self.number)
                if connection.recv(4096) != ANSWER:
                    raise OSError(0, "another answer")
                self.again += sent_again(connection)
            self.answered.append((target.name, self.number))
        except OSError as error:
            self.lost.append("%s at %s: %s" % (self.number, address, error))

    def end(self):
        self.on = False
        self.join(30)
