"""Network namespaces, for labs that put each host of theirs into one."""

import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def shell(script):
    """What a shell prints. It is an error where it fails."""
    ended = subprocess.run(["sh", "-ec", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    if ended.returncode:
        raise RuntimeError("%s\n%s%s" % (script, ended.stdout, ended.stderr))
    return ended.stdout


def enter(name):
    """Takes the thread that calls into a network namespace."""
    handle = os.open("/run/netns/" + name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + name)
    finally:
        os.close(handle)


def within(name, work):
    """What `work` returns in a network namespace. This thread stays where it is."""
    found = []

    def there():
        try:
            enter(name)
            found.append((work(), None))
        except Exception as error:
            found.append((None, error))

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    value, error = found[0]
    if error:
        raise error
    return value
