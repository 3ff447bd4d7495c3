"""As much of AMQP 0-9-1 as it takes to write to a queue and to know what was confirmed. https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf"""

import socket
import struct
import threading
import time

from place import enter

QUEUE = b"lab"
# Of `table`: the queue is kept by a majority of the nodes.
QUORUM = b"\x0cx-queue-typeS\x00\x00\x00\x06quorum"
METHOD, HEADER, BODY = 1, 2, 3


def short(text):
    return bytes([len(text)]) + text


def long(text):
    return struct.pack(">I", len(text)) + text


class Connection:
    """One that is open, with a channel that confirms."""

    def __init__(self, address, user, password):
        self.socket = socket.create_connection((address, 5672), 10)
        self.heard = self.socket.makefile("rb")
        self.socket.sendall(b"AMQP\x00\x00\x09\x01")
        self.expect(10, 10)
        self.call(0, 10, 11, long(b"") + short(b"PLAIN") + long(b"\x00%s\x00%s" % (user, password)) + short(b"en_US"))
        self.expect(10, 30)
        self.call(0, 10, 31, struct.pack(">HIH", 8, 131072, 0))
        self.call(0, 10, 40, short(b"/") + short(b"") + b"\x00")
        self.expect(10, 41)
        self.call(1, 20, 10, short(b""))
        self.expect(20, 11)

    def frame(self, kind, channel, payload):
        self.socket.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

    def call(self, channel, kind, method, arguments):
        self.frame(METHOD, channel, struct.pack(">HH", kind, method) + arguments)

    def expect(self, kind, method):
        """The arguments of the next method, which has to be this one."""
        _, _, size = struct.unpack(">BHI", self.heard.read(7))
        payload = self.heard.read(size + 1)
        if struct.unpack(">HH", payload[:4]) != (kind, method):
            raise OSError(0, "AMQP: %r instead of %d.%d" % (payload[:60], kind, method))
        return payload[4:-1]

    def declare(self, passive=False):
        """How many messages the queue has."""
        self.call(1, 50, 10, b"\x00\x00" + short(QUEUE) + (b"\x03" if passive else b"\x02") + long(QUORUM))
        answer = self.expect(50, 11)
        return struct.unpack(">I", answer[1 + answer[0]:][:4])[0]

    def confirm(self):
        self.call(1, 85, 10, b"\x00")
        self.expect(85, 11)

    def publish(self, text):
        """Comes back once the message is confirmed."""
        self.call(1, 60, 40, b"\x00\x00" + short(b"") + short(QUEUE) + b"\x00")
        self.frame(HEADER, 1, struct.pack(">HHQHB", 60, 0, len(text), 0x1000, 2))
        self.frame(BODY, 1, text)
        self.expect(60, 80)


class Writer(threading.Thread):
    """A client that writes on and on over one connection."""

    def __init__(self, client, address, user, password):
        super().__init__(daemon=True)
        self.client, self.where, self.confirmed, self.lost, self.on = client, (address, user, password), 0, [], True

    def run(self):
        try:
            enter(self.client.name)
            connection = Connection(*self.where)
            connection.declare()
            connection.confirm()
            while self.on:
                connection.publish(b"%d" % self.confirmed)
                self.confirmed += 1
                time.sleep(0.01)
        except Exception as error:
            self.lost.append(repr(error))

    def end(self):
        self.on = False
        self.join(30)
