#!/usr/bin/python3
"""A cluster lab: real Erlang nodes under real guards, with everybody knocking at every door meanwhile.

run.py short|full|soak [--backend nft|iptables] [--binary FILE] [--only SCENES] [--no-guard]

`short` is three nodes of which one joins, `full` five; both back ends one after the other, unless one is named. Needs root.
`--no-guard` brings no rules in, to see the scenes fail.
"""

import argparse
import os
import pathlib
import sys
import time

import place

COUNTS = dict(short=4, full=5, soak=5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=sorted(COUNTS))
    parser.add_argument("--backend", choices=("nft", "iptables"), required=True)
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path(os.environ.get("RINGFENCE", "target/debug/ringfence")))
    parser.add_argument("--only")
    parser.add_argument("--no-guard", action="store_true")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("NOT TESTED: the lab, which takes root (namespaces with machines of their own)")
    asked.binary = asked.binary.resolve()
    place.inside()
    import lab as labs
    import scenes
    lab = labs.Lab(COUNTS[asked.what], asked.backend, asked.binary, 0.2, guarded=not asked.no_guard)
    failed = False
    begun_all = time.monotonic()
    print("%s, %s: %d nodes" % (asked.what, asked.backend, len(lab.names)), flush=True)
    for scene in scenes.SHORT:
        begun = time.monotonic()
        try:
            scene(lab)
        except BaseException:
            print("FAILED: %s" % scene.__doc__.splitlines()[0])
            raise
        print("%5.1f s  %s" % (time.monotonic() - begun, scene.__doc__.splitlines()[0]), flush=True)
    print("%d passed, 0 failed, %.0f s" % (lab.passed, time.monotonic() - begun_all))


if __name__ == "__main__":
    main()
