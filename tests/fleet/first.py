"""The first process of a node: starts its sshd, as often as that is asked for, and waits for whoever is left to it."""

import os
import signal
import subprocess
import sys

SSHD = ["/usr/sbin/sshd", "-D", "-e", "-f", "/srv/fleet/sshd_config", "-o", "ListenAddress=" + sys.argv[1]]


def start(*_):
    with open("/var/log/sshd", "ab") as log:
        process = subprocess.Popen(SSHD, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    with open("/run/sshd.listener", "w") as file:
        file.write(str(process.pid))


signal.signal(signal.SIGUSR1, start)
start()
print("ready", flush=True)
while True:
    try:
        os.wait()
    except ChildProcessError:
        signal.pause()
