"""Rows under load: kills at random moments under a hammer, and very many sources."""

import ast
import os
import random
import select
import signal
import socket
import struct
import subprocess
import time

from lab import FOLDER, HOST, OWN, PEER, STRANGER, WIRE, Failed, Machine, cluster, family_of, inside


def total_retransmits(client):
    return struct.unpack_from("I", client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


class Hammer:
    """A process in which a stranger and a peer connect all the time: nobody of the one may get in, nobody of the other be
    lost; a SYN of a peer that had to be sent again is a lost packet."""

    def __init__(self, machine):
        self.reader, writer = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            self.end = False
            signal.signal(signal.SIGTERM, lambda *_: setattr(self, "end", True))
            signal.alarm(0)
            try:
                os.write(writer, repr(self.hammer(machine)).encode())
            finally:
                os._exit(0)
        os.close(writer)

    def hammer(self, machine):
        rounds, through, lost = 0, 0, []
        while not self.end:
            version = 4 if rounds % 2 else 6
            with inside(WIRE):
                stranger, peer = (socket.socket(family_of(version)) for _ in range(2))
            for client, who in ((stranger, STRANGER), (peer, PEER)):
                client.setblocking(False)
                client.bind((who[version], 0))
                client.connect_ex((OWN[version], 8098))
            start = time.monotonic()
            done = False
            while not done and time.monotonic() - start < 10:
                readable, writable, _ = select.select(machine.servers, [stranger, peer], [], 0.2)
                for server in readable:
                    server.accept()[0].close()
                through += stranger in writable and not stranger.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                done = peer in writable
            # The stranger's SYN came before the peer's: by now it would have been answered.
            error = peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not done or error or total_retransmits(peer):
                lost.append(f"IPv{version}, round {rounds}, {time.monotonic() - start:.2f} s, error {error}")
            stranger.close()
            peer.close()
            rounds += 1
        return rounds, through, lost[:5], len(lost)

    def stop(self):
        os.kill(self.child, signal.SIGTERM)
        said = b""
        while chunk := os.read(self.reader, 65536):
            said += chunk
        os.close(self.reader)
        os.waitpid(self.child, 0)
        if not said:
            raise Failed("the hammer died")
        rounds, through, lost, count = ast.literal_eval(said.decode())
        if through or count or rounds < 20:
            raise Failed(f"{through} of {rounds} strangers got through, {count} of {rounds} peers were lost: {lost}")
        return f"{rounds} strangers, none through, {rounds} peers, none lost"


def one_in_force(machine, backend):
    """Old or new, and nothing between. The tools of iptables change one family after the other, so a kill may come between
    them: then `status` has to say so, whoever is asked for."""
    said = {name: machine.run(f"status --full {name}") for name in ("a.toml", "b.toml")}
    enforced = [name for name, (code, _) in said.items() if code == 0]
    between = not enforced and backend != "nft" and all(code == 1 for code, _ in said.values())
    if len(enforced) != 1 and not between:
        raise Failed(f"in force: {enforced}, {said}")
    return enforced[0] if enforced else None


def kills(program, backend, number):
    """Changes there and back, with and without a time to confirm, each killed at a random moment."""
    choose = random.Random(20261128)
    with Machine(program, backend) as machine:
        machine.run("apply b.toml", 0)
        start = time.monotonic()
        machine.run("apply a.toml", 0)
        took = time.monotonic() - start
        hammer = Hammer(machine)
        killed, now, changed, between = 0, "a.toml", 0, 0
        try:
            for turn in range(number):
                wanted = "b.toml" if now == "a.toml" else "a.toml"
                waits = " --confirm-within 300s" if turn % 3 == 2 else ""
                command = f"exec ip netns exec {HOST} {program} {machine.arguments(f'apply{waits} {wanted}')}"
                child = subprocess.Popen(command, shell=True, env=machine.environment, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(choose.uniform(0.1, 1.1) * took)
                if child.poll() is None:
                    child.kill()
                    killed += 1
                child.wait()
                if os.path.exists(f"{FOLDER}/state/run/pending"):
                    machine.run("rollback", 0)
                found = one_in_force(machine, backend)
                between += found is None
                before, now = now, found or wanted
                changed += before != now and found is not None
                machine.run(f"apply {now}", 0)
                if one_in_force(machine, backend) != now:
                    raise Failed("another apply did not bring it about")
        finally:
            said = hammer.stop()
        return f"{killed} kills in {number} changes, {changed} of them behind the change, {between} between IPv4 and IPv6; {said}"


def many(program, backend, number=100_000):
    """Very many sources, one of them later."""
    def file(count):
        hosts = "".join(f'  "100.{64 + n // 32768}.{n // 128 % 256}.{n % 128 * 2}",\n' for n in range(count))
        return cluster(13, f'[[client]]\nname = "many"\nservices = ["http"]\nfrom = [\n{hosts}]\n')
    with Machine(program, backend) as machine:
        machine.write("a.toml", file(number))
        machine.write("b.toml", file(number + 1))
        times = []
        for arguments, said in (("apply a.toml", "isolation, reachability"), ("status a.toml", "enforced"),
                                ("status --full a.toml", "enforced"), ("apply b.toml", "isolation, reachability")):
            start = time.monotonic()
            machine.run(arguments, 0, said)
            times.append(f"{arguments.rsplit(' ', 1)[0] if 'b.toml' not in arguments else 'one more'} {time.monotonic() - start:.1f} s")
        machine.run("remove", 0)
        return ", ".join(times)
