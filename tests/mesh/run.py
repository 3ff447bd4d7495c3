#!/usr/bin/python3
"""A cluster lab: real Erlang nodes under real guards, with everybody knocking at every door meanwhile.

run.py short|full|soak|rabbit|ejabberd|defaultsNUMBER|NUMBER [--backend nft|iptables] [--binary FILE] [--only SCENES] [--changes N] [--seed N]

`short` is four nodes and what matters most, `full` five and all, then Debian's services, VMs with other settings, and labs that are broken on purpose
(a NUMBER is one of those), `soak` five and so many changes. Both back ends one after the other, unless one is named; each lab has namespaces of its
own. Needs root.
"""

import argparse
import os
import pathlib
import sys
import time

import place


# More than any lab takes on a busy machine. A soak takes as long as it takes; each of its steps is bounded.
SECONDS = 1200


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("--backend", choices=("nft", "iptables"))
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path(os.environ.get("RINGFENCE", "target/debug/ringfence")))
    parser.add_argument("--only", help="scenes by name, with commas; most rest on those before")
    parser.add_argument("--changes", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def scene(play, *on):
    begun, what = time.monotonic(), play.__doc__.splitlines()[0]
    try:
        play(*on)
    except BaseException:
        print("FAILED: " + what, flush=True)
        raise
    print("%5.1f s  %s" % (time.monotonic() - begun, what), flush=True)


def one(asked):
    """One lab, in namespaces of its own."""
    place.inside(None if asked.what == "soak" else SECONDS)
    import broken
    import defaults
    import ejabberd
    import labs
    import rabbit
    import scenes
    import soak

    def make(kind=labs.Lab, nodes=4, pace=0.2):
        lab = kind(nodes, asked.backend, asked.binary, pace * place.SLOWER)
        lab.traffic.start()
        return lab
    begun = time.monotonic()
    if asked.what.isdigit():
        return broken.fails(make, int(asked.what))
    if asked.what.startswith("defaults"):
        return defaults.play(make, int(asked.what[-1]))
    services = dict(rabbit=rabbit, ejabberd=ejabberd)
    if asked.what in services:
        if not os.path.exists(services[asked.what].PROGRAM):
            return print("NOT TESTED: %s, which is not there as Debian has it" % asked.what, flush=True)
        print("%s, %s" % (asked.what, asked.backend), flush=True)
        return scene(services[asked.what].play, asked.backend, asked.binary)
    if asked.what == "soak":
        lab = make(nodes=5, pace=0.5)
        print("%s, seed %d" % (asked.backend, asked.seed), flush=True)
        wrong = soak.Soak(lab, asked.changes, asked.seed).run()
        sys.exit("FAILED:\n" + "\n".join(wrong) if wrong else 0)
    lab = make(nodes=5 if asked.what == "full" else 4)
    print("%s: %d nodes" % (asked.backend, len(lab.names)), flush=True)
    for play in scenes.FULL if asked.what == "full" else scenes.SHORT:
        if not asked.only or play.__name__ in asked.only.split(","):
            scene(play, lab)
    print("%s: %d passed, 0 failed, %.0f s" % (asked.backend, lab.passed, time.monotonic() - begun))


def versions():
    script = ("uname -r; nft --version; iptables --version; cat $(dirname $(readlink -f $(command -v erl)))/../releases/*/OTP_VERSION")
    kernel, nft, iptables, otp = place.shell(script).splitlines()
    return "Linux %s, %s, %s, OTP %s" % (kernel, nft.split(" (")[0], iptables, otp)


def main():
    asked = arguments()
    if os.geteuid() != 0:
        sys.exit("NOT TESTED: the lab, which takes root (namespaces with machines of their own)")
    asked.binary = asked.binary.resolve()
    if asked.backend:
        return one(asked)
    print(versions(), flush=True)
    runs = [(asked.what, backend) for backend in ("nft", "iptables")]
    if asked.what == "full":
        from broken import ALL
        from defaults import WAYS
        runs += [(service, backend) for service in ("rabbit", "ejabberd") for backend in ("nft", "iptables")]
        runs += [("defaults%d" % number, backend) for number in range(len(WAYS)) for backend in ("nft", "iptables")]
        runs += [(str(number), "nft") for number in range(len(ALL))]
    for what, backend in runs:
        words = [sys.executable, "-u", sys.argv[0], what, "--backend", backend] + sys.argv[2:]
        code = place.follow(words)
        if code:
            sys.exit("FAILED: %s" % " ".join(words[2:]))


if __name__ == "__main__":
    main()
