#!/usr/bin/env python3
"""page.py merge RESULTS OUT DAY COMMIT: takes what one world has written into that world's results.
page.py page FOLDER MODE WORLD…: docs/worlds.md of all results; exit code 1 if anything failed or was not tried.
page.py take PAGE FOLDER: results that a page shows and the folder lacks, so that a run of some rows in a fresh tree keeps the
others, with the days and commits that the page has for their world.
"""

import glob
import json
import os
import re
import subprocess
import sys

ORDER = ("main", "vrf", "table", "anyip", "later")
PLACES = {"main": "main table", "vrf": "VRF", "table": "another table", "anyip": "any-IP", "later": "came later"}
MEANING = {"ok": "ok", "not possible here": "–"}


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


def merge(results, out, day, commit):
    rows = {line["row"]: line for line in lines_of(results)}
    for path in [f"{out}/rows.jsonl"] + sorted(glob.glob(f"{out}/*/rows.jsonl")):
        for line in lines_of(path):
            rows[line["row"]] = {**line, "day": day, "commit": commit}
    with open(results, "w") as file:
        file.writelines(json.dumps(line) + "\n" for line in rows.values())


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |")
    print()


def cell_text(row, version):
    """One cell of the door table."""
    if row is None:
        return "NOT TRIED"
    if "shown" in row:
        return row["shown"][str(version)]
    if "cells" not in row:
        return "–" if row["result"] == "not possible here" else "FAILED"
    cell = row["cells"][str(version)]
    stranger = cell["stranger"] if "later_stranger" not in cell else f"{cell['stranger']}, {cell['later_stranger']}"
    claim = "proved" if cell["isolation"] else "not proved"
    enforced = "enforced" if cell["enforced"] else f"status {cell['status']}"
    if "later_stranger" in cell:
        enforced += ", enforced" if cell["later_status"] == 0 else f", status {cell['later_status']}"
    if "again" in cell:
        stranger += f", {cell['again_stranger']}"
        enforced += f", apply {cell['again']}"
    text = f"{stranger}; {claim}, {enforced}"
    if cell["peer"] == "out":
        text += "; peer out" + (", as without rules" if cell["before"] == "out" else "")
    return f"**BAD** {text}" if cell["bad"] else text


def doors(results, worlds, names):
    print("## Doors\n")
    print("A stranger's real connection to port 8098 of an address that is this host's by the named table, with and without a")
    print("translation to an unprotected port: `in` or `out`; then what `apply` said of isolation, and `status`. For an address")
    print("that came after `apply`: at once, once `ringfence watch` has seen it, and after another `apply`. **BAD**: a stranger is in while the")
    print("program claims isolation, or a peer is out while it claims reachability. –: not possible in that world.\n")
    keys = sorted({tuple(name.split("/")[1:]) for name in names if name.startswith("door/")},
                  key=lambda key: (ORDER.index(key[1]), key[2], key[0]))
    rows = []
    for backend, place, translation in keys:
        both = [[cell_text(results[world].get(f"door/{backend}/{place}/{translation}"), version) for world in worlds]
                for version in (4, 6)]
        families = [("both", both[0])] if both[0] == both[1] else [("IPv4", both[0]), ("IPv6", both[1])]
        rows += [[PLACES[place], translation, family, backend, *cells] for family, cells in families]
    table(["address", "translation", "family", "back end"] + worlds, rows)


def cells_of(line):
    """The cells of a line of a table."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def result_of(text):
    for begin, result in (("ok", "ok"), ("–", "not possible here"), ("**BAD**", "BAD"), ("BAD", "BAD"), ("FAILED", "FAILED")):
        if text.startswith(begin):
            return result
    return "ok"


def shown_on(path):
    """What a page shows: for each world its lines, as `merge` has them."""
    worlds, lines, places = [], {}, {text: name for name, text in PLACES.items()}
    with open(path) as file:
        tables = [cells_of(line) for line in file if line.startswith("| ")]
    failed = dict(re.findall(r"^- (\w+, `[^`]+`): \w+: (.*)$", open(path).read(), re.M))
    head = []
    for cells in tables:
        if cells[0] in ("world", "address", "row"):
            head = cells
        elif head[0] == "world" and "kernel" in head:
            world = cells[0]
            worlds.append(world)
            lines[world] = {}
            if cells[-1] != "NOT TRIED":
                tried = {day: kinds.split(", ") for day, kinds in re.findall(r"(\S+ \([^)]*\)): ([^;]*)", cells[-1])}
                lines[world]["versions"] = {"row": "versions", "result": "ok", **dict(zip(head[1:-1], cells[1:-1])), "tried": tried}
        elif head[0] == "address":
            place, translation, family, backend = cells[:4]
            name = f"door/{backend}/{places[place]}/{translation}"
            for world, text in zip(worlds, cells[4:]):
                line = lines[world].setdefault(name, {"row": name, "result": "ok", "figures": "", "shown": {}})
                line["shown"].update({version: text for version in {"IPv4": "4", "IPv6": "6"}.get(family, "46")})
                if result_of(text) != "ok":
                    line["result"] = result_of(text)
        elif head[0] == "row":
            for world, text in zip(worlds, cells[1:]):
                figures = failed.get(f"{world}, `{cells[0]}`", text.partition(": ")[2])
                lines[world][cells[0]] = {"row": cells[0], "result": result_of(text), "figures": figures, "text": text}
    return lines


def take(path, folder):
    for world, lines in shown_on(path).items():
        results = f"{folder}/{world}.jsonl"
        there = {line["row"] for line in lines_of(results)}
        tried = lines.get("versions", {}).get("tried", {})
        with open(results, "a") as file:
            for name, line in lines.items():
                if name not in there and "NOT TRIED" not in (line.get("text"), *line.get("shown", {}).values()):
                    days = [day for day, kinds in tried.items() if name == "versions" or name.split("/")[0] in kinds]
                    file.write(json.dumps({**line, "tried": days}) + "\n")


def tried_on(lines):
    """Which kinds of rows were tried on which day at which commit: `day (commit): kinds; …`."""
    kinds = {}
    for line in lines:
        for tried in line.get("tried") or [f"{line['day']} ({line['commit']})"]:
            kinds.setdefault(tried, set()).add(line["row"].split("/")[0])
    return "; ".join(f"{tried}: {', '.join(sorted(rows - {'versions'}))}" for tried, rows in sorted(kinds.items()) if rows != {"versions"})


def planned(mode):
    rows = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows.py")
    return subprocess.run([sys.executable, "-B", rows, "list", mode], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def page(folder, mode, worlds):
    results = {world: {line["row"]: line for line in lines_of(f"{folder}/{world}.jsonl")} for world in worlds}
    listed = planned(mode)
    # Of the long form is shown what an earlier run tried; what it did not try is none of the short form's.
    names = listed + [name for name in planned("full") if name not in listed and any(name in rows for rows in results.values())]
    print("# Kernels and tools that were tried\n")
    print(f"Made by `make matrix` ({mode}); every figure is of its last run in that world. Emulated machines of Debian's own")
    print("kernels and tools; `host` is the machine that made this page, where packages and other firewalls are in a root of its")
    print("release with a systemd of their own. Times are of an emulation and say nothing but that it ends.\n")
    keys = ("kernel", "nft", "iptables", "ipset", "libnftnl", "systemd")
    rows = []
    for world in worlds:
        versions = results[world].get("versions", {})
        lines = results[world].values()
        rows.append([world] + [versions.get(key, "?") for key in keys] + [tried_on(lines) or "NOT TRIED"])
    table(["world", *keys, "tried on (at)"], rows)
    counts, bad = [], []
    for world in worlds:
        found = {"ok": 0, "not possible here": 0, "BAD": 0, "FAILED": 0, "NOT TRIED": 0}
        for name in names:
            if name not in results[world] and name not in listed:
                continue
            result = results[world][name]["result"] if name in results[world] else "NOT TRIED"
            found[result] += 1
            if result in ("FAILED", "BAD", "NOT TRIED"):
                bad.append((world, name, result, results[world].get(name, {}).get("figures", "")))
        counts.append([world, *found.values()])
    table(["world", "ok", "not possible there", "bad doors", "failed", "not tried"], counts)
    doors(results, worlds, names)
    print("## Everything else\n")
    others = [name for name in names if not name.startswith("door/")]
    body = []
    for name in others:
        cells = []
        for world in worlds:
            line = results[world].get(name, {"result": "NOT TRIED", "figures": ""})
            word = MEANING.get(line["result"], line["result"])
            short = line["figures"] if word == "ok" else ""
            cells.append(f"{word}{': ' if short else ''}{short}"[:220])
        body.append([name, *cells])
    table(["row"] + worlds, body)
    said = [entry for entry in bad if entry[2] in ("FAILED", "BAD") and not entry[1].startswith("door/")]
    if said:
        print("## What failed\n")
        for world, name, result, figures in said:
            print(f"- {world}, `{name}`: {result}: {' '.join(figures.split())[:500]}")
    for world, name, result, figures in bad:
        print(f"{world} | {name} | {result} | {figures[:300]}", file=sys.stderr)
    return 1 if bad else 0


if sys.argv[1] == "merge":
    merge(*sys.argv[2:6])
elif sys.argv[1] == "take":
    take(*sys.argv[2:4])
else:
    sys.exit(page(sys.argv[2], sys.argv[3], sys.argv[4:]))
