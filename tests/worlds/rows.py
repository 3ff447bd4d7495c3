#!/usr/bin/env python3
"""rows.py PHASE MODE OUT BUILT: the rows of one world, run in that world as root. BUILT is the folder in which the programs
under test are; PHASE is `machine`, `host`, or a boot with that release's systemd: `systemd` (the rows of packages), and for each
other firewall `through-NAME-1` and so on, each of which finds the disk of the one before.

Each prints `row | result | figures` and is written to OUT as a line of JSON. `rows.py list MODE` prints the names of what has
to be tried, for whoever looks for what was not; `rows.py before BUILT PHASE` what is done before systemd boots.
"""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

import basics
import doors
import firewalls
import load
import packages
import through
from lab import BACKENDS, Failed, Machine, NotPossible, cluster, sh, text_of

# So many seconds a row may take in an emulated machine, times PATIENCE where its processors have other work, too.
LIMIT = 120
PATIENCE = float(os.environ.get("PATIENCE") or 1)
# Kills at every how many-th step of the suite of faults an emulated machine has time for; on the machine itself at each.
KILLS_EVERY = int(os.environ.get("KILLS_EVERY") or 5)
# So many random changes the lab goes through, on the machine itself and in an emulated one, and how much longer that takes for each.
CHANGES = 300, 30
SLOW = 4
HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# The suites, in parts where the whole takes an emulated machine more than an hour, and what each part is to the harness.
WITHOUT_KILLS = ["--skip", "kills::"]
SUITES = {
    "kernel": {"": []},
    "netlink": {"": []},
    "host_iptables": {"": []},
    "faults": {"": WITHOUT_KILLS, "/kills": ["kills::"]},
}


def planned(mode):
    """Every row of this mode: its name, its limit and what makes it."""
    rows = []
    forms = [("netlink", BACKENDS), ("static", BACKENDS if mode == "full" else ("nft",))]
    for form, backends in forms:
        for backend in backends:
            for row in basics.ROWS:
                if row is basics.without_nft and (form, backend) != ("netlink", "nft"):
                    continue
                rows.append((f"{form}/{backend}/{row.__name__}", LIMIT, ("basic", form, backend, row)))
    for backend in BACKENDS:
        for place in doors.PLACES:
            for translation in doors.TRANSLATIONS:
                rows.append((f"door/{backend}/{place}/{translation}", LIMIT, ("door", backend, place, translation)))
    for backend in BACKENDS:
        rows.append((f"guard-interface-in-vrf/{backend}", LIMIT, ("interface", backend)))
    number = int(os.environ.get("KILLS") or (40 if mode == "full" else 6))
    for backend in BACKENDS if mode == "full" else ("nft",):
        rows.append((f"kills/{backend}", 100 + 20 * number, ("kills", backend, number)))
    if mode == "full":
        for backend in BACKENDS:
            rows.append((f"many/{backend}", 900, ("many", backend)))
        for suite, parts in SUITES.items():
            for part, arguments in parts.items():
                rows.append((f"suite/{suite}{part}", 3000, ("suite", suite, arguments)))
        for backend in ("nft", "iptables"):
            rows += [(f"lab/{backend}/{what}", 3000, ("lab", what, backend)) for what in ("soak", "rabbit", "ejabberd")]
        rows.append(("packages/booted", LIMIT, ("package", packages.booted)))
        for backend in BACKENDS:
            for row in (packages.upgrade, packages.upgrade_while_a_change_waits, packages.downgrade):
                rows.append((f"packages/{backend}/{row.__name__}", 300, ("package", row, backend, "old", "new")))
            rows.append((f"packages/{backend}/purge", LIMIT, ("package", packages.purge, backend, "new")))
        for name in firewalls.PROGRAMS:
            for start, of_start in enumerate(through.STARTS, 1):
                rows += [(f"through/{name}/{row.__name__}", 900, ("through", row, name, start)) for row in of_start]
    return rows


def phase_of(what):
    """In which boot of a world a row is run."""
    if what[0] == "through":
        return f"through-{what[2]}-{what[3]}"
    return "systemd" if what[0] == "package" else "machine"


class Rows:
    def __init__(self, out, phase, built):
        self.out, self.phase = out, phase
        target = f"{platform.machine()}-unknown-linux-gnu"
        self.programs = {"netlink": f"{built}/debug/ringfence", "static": f"{built}/{target}/debug/ringfence"}
        self.debs = {"old": f"{built}/../worlds-release/ringfence.deb", "new": f"{built}/ringfence.deb"}
        self.suites = {}
        if os.path.exists(f"{built}/tests"):
            with open(f"{built}/tests") as file:
                self.suites = dict(line.split() for line in file)
        self.machine, self.machine_of = None, None

    def do(self, name, limit, what):
        started = time.monotonic()
        signal.alarm(int(limit * PATIENCE))
        extra = {}
        try:
            figures = getattr(self, what[0])(extra, *what[1:])
            result = extra.pop("result", "ok")
        except NotPossible as error:
            result, figures = "not possible here", text_of(error)
        except Failed as error:
            result, figures = "FAILED", text_of(error)
        except BaseException:
            result, figures = "FAILED", "the row died: " + text_of(traceback.format_exc(limit=-3))
        signal.alarm(0)
        figures = (figures or "")[:1500]
        line = {"row": name, "result": result, "figures": figures, "seconds": round(time.monotonic() - started, 1), **extra}
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()
        print(f"{name} | {result} | {figures}", flush=True)

    def basic(self, _, form, backend, row):
        if self.machine_of != (form, backend):
            self.close()
            self.machine = Machine(self.programs[form], backend)
            self.machine_of = (form, backend)
        return row(self.machine)

    def close(self):
        if self.machine:
            self.machine.close()
        self.machine, self.machine_of = None, None

    def door(self, extra, backend, place, translation):
        self.close()
        cells = doors.door(self.programs["netlink"], backend, place, translation)
        extra["cells"] = cells
        extra["result"] = "BAD" if any(cell["bad"] for cell in cells.values()) else "ok"
        return "; ".join(f"IPv{version}: {doors.summary(cell)}" for version, cell in cells.items())

    def interface(self, extra, backend):
        self.close()
        wrong, figures = doors.guard_interface(self.programs["netlink"], backend)
        if wrong:
            extra["result"] = "BAD"
        return "; ".join(wrong + [figures])

    def kills(self, _, backend, number):
        self.close()
        return load.kills(self.programs["netlink"], backend, number)

    def many(self, _, backend):
        self.close()
        return load.many(self.programs["netlink"], backend)

    def package(self, _, row, *arguments):
        return row(*(self.debs.get(argument, argument) for argument in arguments))

    def through(self, _, row, name, __):
        if self.machine_of != name:
            self.close()
            self.machine = through.Guarded(name)
            self.machine_of = name
        return row(self.machine)

    def lab(self, extra, what, backend):
        """The cluster lab of the repository with this release's Erlang: so many random changes, or a program of Debian's. Its scenes rest on when
        things happen, which an emulated machine does not keep."""
        self.close()
        if not shutil.which("erl"):
            raise NotPossible("no Erlang")
        # What the lab waits for, and how often it knocks, is measured by a machine that nobody emulates.
        slow, changes = (1, CHANGES[0]) if self.phase == "host" else (SLOW, CHANGES[1])
        command = ["python3", "-B", f"{HERE}/tests/mesh/run.py", what, "--backend", backend,
                   "--binary", self.programs["netlink"], "--changes", str(changes)]
        ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               env={**os.environ, "PATIENCE": str(slow * PATIENCE)})
        try:
            said, _ = ran.communicate()
        finally:
            ran.kill()
            ran.wait()
        release = subprocess.run(["erl", "-noshell", "-eval", "io:put_chars(erlang:system_info(otp_release)), halt()."], capture_output=True, text=True)
        if ran.returncode:
            extra["result"] = "FAILED"
            return f"OTP {release.stdout}: " + text_of(said[-1200:])
        # Of a program its name and version, and what was counted.
        lines = [line.strip() for line in said.strip().splitlines()]
        if lines and lines[-1].startswith("NOT TESTED"):
            raise NotPossible(lines[-1])
        return f"OTP {release.stdout}: " + "; ".join(lines[-1:] if what == "soak" else lines[1:-1])

    def suite(self, extra, name, arguments):
        """A suite of the repository: its tests make machines of their own."""
        self.close()
        if name not in self.suites:
            raise Failed("it was not built")
        # What a machine with bridges and tunnels has loaded.
        sh("modprobe -a br_netfilter bridge macvlan vxlan dummy vrf", check=False)
        every = 1 if self.phase == "host" else KILLS_EVERY
        ran = subprocess.Popen([self.suites[name], *arguments, "--test-threads=1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", env={**os.environ, "KILLS_EVERY": str(every)})
        said = []
        # What a machine that is cut off has tried is to be seen, too.
        with open(f"{os.path.dirname(self.out.name)}/{name}.txt", "w", buffering=1) as file:
            try:
                for line in ran.stdout:
                    said.append(line)
                    file.write(line)
            finally:
                ran.kill()
                ran.wait()
        text = "".join(said)
        # The last of them: a test that runs itself once more shows that run's. Where it was cut off there is none.
        ends = re.findall(r"^test result: .* (\d+) passed;", text, re.M)
        passed = int(ends[-1]) if ends else 0
        failed = re.findall(r"^    (\S+)$", text.rsplit("\nfailures:\n", 1)[-1], re.M) if "\nfailures:\n" in text else []
        not_here = len(re.findall(r"not possible here", text))
        if ran.returncode or not passed:
            extra["result"] = "FAILED"
        sample = f", killed at every {every}th step" if "kills::" in arguments[:1] and every > 1 else ""
        return f"{passed} passed{sample}, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}; {not_here} not possible here"


def versions():
    """What this world consists of, for the head of the page."""
    def first(command, pattern):
        _, said = sh(command, check=False)
        found = re.search(pattern, said)
        return found.group(1) if found else "none"
    return {"row": "versions", "result": "ok", "figures": "", "seconds": 0, "kernel": os.uname().release,
            "nft": first("nft --version", r"v([0-9.]+)"), "iptables": first("iptables --version", r"v([0-9.]+)"),
            "ipset": first("ipset --version", r"v([0-9.]+)"), "systemd": first("systemctl --version", r"systemd ([0-9.]+)"),
            "libnftnl": first("dpkg-query -W libnftnl11", r"\t([0-9.]+)")}


def too_long(*_):
    raise Failed("it took too long")


def main():
    if sys.argv[1] == "list":
        print("\n".join(name for name, _, _ in planned(sys.argv[2])))
        return
    if sys.argv[1] == "before":
        deb, phase = f"{sys.argv[2]}/ringfence.deb", sys.argv[3].split("-")
        if phase[0] == "through":
            print(firewalls.before(phase[1], int(phase[2]), deb))
        else:
            print(packages.BEFORE.format(cluster=cluster(13), deb=deb))
        return
    phase, mode, out, built = sys.argv[1:5]
    only = os.environ.get("ROWS", "")
    signal.signal(signal.SIGALRM, too_long)
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/rows.jsonl", "w") as file:
        rows = Rows(file, phase, built)
        file.write(json.dumps(versions()) + "\n")
        for name, limit, what in planned(mode):
            # Packages and other firewalls of this machine itself are left alone: `host` has its own in a box, started as elsewhere.
            here = phase == phase_of(what) or (phase == "host" and phase_of(what) == "machine")
            if here and re.search(only, name):
                rows.do(name, limit, what)
        rows.close()


main()
