#!/usr/bin/python3
"""A fleet: real ansible-core against nodes in network namespaces, an sshd each, with packets counted meanwhile.

run.py short|full|COUNT --package FILE --collection FILE [--ansible FOLDER] [--only SCENES] [--nodes COUNT]

`short` is three nodes and what matters most, `full` five and all, a number so many nodes and two roll-outs. Needs root.
"""

import argparse
import os
import pathlib
import sys
import time

import place
import scenes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what")
    parser.add_argument("--package", required=True, type=pathlib.Path)
    parser.add_argument("--collection", required=True, type=pathlib.Path)
    parser.add_argument("--ansible", default="/usr/bin")
    parser.add_argument("--only", help="scenes by name, with commas; they rest on the first roll-out")
    parser.add_argument("--nodes", type=int)
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("NOT TESTED: the fleet, which takes root (namespaces with machines of their own)")
    asked.package, asked.collection = asked.package.resolve(), asked.collection.resolve()
    asked.ansible = pathlib.Path(asked.ansible).absolute()
    place.inside()
    count = asked.nodes or {"short": 3, "full": 5}.get(asked.what) or int(asked.what)
    fleet = scenes.Fleet(count, asked)
    for scene in scenes.of(asked.what):
        if asked.only and scene.__name__ not in asked.only.split(",") and scene is not scenes.strangers_pass_before:
            continue
        begun = time.monotonic()
        try:
            scene(fleet)
        except BaseException:
            print("FAILED: %s" % scene.__doc__.splitlines()[0])
            fleet.tell()
            raise
        print("%5.1f s  %s" % (time.monotonic() - begun, scene.__doc__.splitlines()[0]), flush=True)
    print("%d passed, 0 failed" % fleet.passed)


if __name__ == "__main__":
    main()
