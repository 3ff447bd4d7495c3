"""Who listens on the nodes, and who knocks: peers that must always get through, strangers that must not.

A peer's packet that is lost is seen by what TCP does about it, not by a clock that a busy machine moves: a connection whose first
segment was sent twice, or a session that sent a segment again which had not come (RFC 2883: what had come all the same is
told by a D-SACK). A stranger's connection is judged by when it began.
"""

import errno
import select
import socket
import struct
import threading
import time

from place import enter, within

PORTS = [4369, 8098]
# Less than the second after which TCP sends the first segment again (RFC 6298).
PATIENCE = 0.9
# Where struct tcp_info of linux/tcp.h has them.
TOTAL_RETRANS, DSACK_DUPS = 100, 216


def sent_again(connection):
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("I", info, TOTAL_RETRANS)[0] - struct.unpack_from("I", info, DSACK_DUPS)[0]


class Servers(threading.Thread):
    """Listens on every node, and says back what it hears."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.epoll, self.listeners, self.open = select.epoll(), {}, {}
        for node in nodes:
            for port in PORTS:
                listener = within(node.name, lambda port=port: socket.create_server(("0.0.0.0", port), backlog=1024))
                listener.setblocking(False)
                self.listeners[listener.fileno()] = listener
                self.epoll.register(listener, select.EPOLLIN)

    def run(self):
        while True:
            for number, _ in self.epoll.poll():
                if number in self.listeners:
                    self.accept(self.listeners[number])
                else:
                    self.echo(number)

    def accept(self, listener):
        try:
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                self.open[connection.fileno()] = connection
                self.epoll.register(connection, select.EPOLLIN)
        except BlockingIOError:
            pass

    def echo(self, number):
        connection = self.open[number]
        try:
            heard = connection.recv(4096)
            if heard:
                connection.send(heard)
                return
        except OSError:
            pass
        self.epoll.unregister(number)
        self.open.pop(number).close()


class Knock:
    """A connection that begins."""

    def __init__(self, source, target, port):
        self.source, self.target, self.port, self.begun = source, target, port, time.monotonic()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex((target.address, port))

    def answer(self):
        """`None` while there is none. Otherwise whether it came about at once."""
        poll = select.poll()
        poll.register(self.socket, select.POLLOUT)
        if not poll.poll(0):
            return False if time.monotonic() - self.begun > PATIENCE else None
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and sent_again(self.socket) == 0


class Session:
    """A connection between peers that stays open, with something said all the time."""

    def __init__(self, source, target):
        self.source, self.target, self.lost = source, target, 0
        self.socket = within(source.name, lambda: socket.create_connection((target.address, PORTS[0]), 10))
        self.socket.setblocking(False)

    def talk(self):
        try:
            self.socket.send(b"x" * 64)
            while self.socket.recv(4096):
                pass
        except BlockingIOError:
            pass

    def lost_now(self):
        """What it lost since it was asked last."""
        again = sent_again(self.socket)
        lost, self.lost = again - self.lost, max(again, self.lost)
        return max(lost, 0)


class Traffic(threading.Thread):
    """Knocks on and on. The counts are those since `begin`."""

    def __init__(self, nodes, pace):
        super().__init__(daemon=True)
        self.lock, self.pace, self.targets, self.members, self.sessions = threading.RLock(), pace, nodes, [], []
        # For each node, when a stranger was blocked first; from then on none may get through.
        self.guarded, self.through = {}, []
        self.begin()

    def begin(self):
        with self.lock:
            self.count = dict(strangers_tried=0, strangers_through=0, peers_tried=0, peers_said=0, lost=[])

    def between(self, nodes):
        """From now on these are peers that must reach each other."""
        with self.lock:
            self.end_sessions()
            self.members = [(node, nodes[(at + 1) % len(nodes)]) for at, node in enumerate(nodes)] if len(nodes) > 1 else []
            self.sessions = [Session(source, target) for source, target in self.members]

    def end_sessions(self):
        self.look_at_sessions()
        for session in self.sessions:
            session.socket.close()
        self.sessions = []

    def forget_guard(self, node):
        """Its rules are about to be taken back to none."""
        with self.lock:
            self.guarded.pop(node.name, None)
            self.through = [one for one in self.through if one[0] != node.name]

    def look_at_sessions(self):
        for session in self.sessions:
            lost = session.lost_now()
            if lost:
                self.count["lost"].append("%s: session of %s: %d segments" % (session.target.name, session.source.name, lost))

    def counts(self):
        with self.lock:
            self.look_at_sessions()
            return dict(self.count, leaks=self.leaks())

    def leaks(self):
        """Strangers that got through a guard. When it came is known only once somebody waited in vain."""
        return ["%s:%d, %.2f s after it was guarded" % (name, port, begun - self.guarded[name])
                for name, port, begun in self.through if begun > self.guarded.get(name, begun)]

    def run(self):
        open_now = []
        while True:
            with self.lock:
                open_now = self.sweep(open_now) + self.knock()
                self.talk()
            time.sleep(self.pace)

    def knock(self):
        began = []
        enter("strangers")
        began += [Knock(None, target, port) for target in self.targets for port in PORTS]
        for source, target in self.members:
            enter(source.name)
            began += [Knock(source, target, port) for port in PORTS]
        return began

    def talk(self):
        for session in self.sessions:
            try:
                session.talk()
                self.count["peers_said"] += 1
            except OSError as error:
                self.count["lost"].append("%s: session of %s: %s" % (session.target.name, session.source.name, error.strerror))

    def sweep(self, knocks):
        waiting = []
        for knock in knocks:
            answer = knock.answer()
            if answer is None:
                waiting.append(knock)
                continue
            if knock.source is None:
                self.of_stranger(knock, answer)
            elif (knock.source, knock.target) in self.members:
                self.of_peer(knock, answer)
            knock.socket.close()
        return waiting

    def of_peer(self, knock, answer):
        self.count["peers_tried"] += 1
        if not answer:
            error = errno.errorcode.get(knock.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "no answer")
            self.count["lost"].append("%s:%d from %s: %s" % (knock.target.name, knock.port, knock.source.name, error))

    def of_stranger(self, knock, answer):
        self.count["strangers_tried"] += 1
        name = knock.target.name
        if answer:
            self.count["strangers_through"] += 1
            self.through.append((name, knock.port, knock.begun))
        else:
            self.guarded[name] = min(self.guarded.get(name, knock.begun), knock.begun)
