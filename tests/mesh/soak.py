"""The soak: so many changes in random order, with everybody knocking at every door meanwhile.

A change is one host's rules that were changed, killed on the way, flushed and brought back, or lost with the machine and there at its start.
"""

import collections
import random
import time

import scenes
from place import SLOWER, patiently
from policy import Rules

KINDS = dict(membership=12, flush=3, reboot=1)


class Soak:
    def __init__(self, lab, changes, seed):
        self.lab, self.changes, self.order = lab, changes, random.Random(seed)
        self.members, self.clients = list(lab.names[:-1]), ("client",)
        self.done, self.said, self.begun = collections.Counter(), 0, time.monotonic()
        # How long one takes, so that it is killed before its end.
        self.took = 0.05

    def run(self):
        """What was wrong."""
        lab = self.lab
        scenes.form(lab)
        lab.traffic.begin()
        try:
            while self.count() < self.changes:
                kind, = self.order.choices(list(KINDS), list(KINDS.values()))
                getattr(self, kind)()
                self.hold()
                if self.count() - self.said >= 500:
                    self.said = self.count()
                    self.tell()
            lab.traffic.hot = None
            time.sleep(1.5 * SLOWER)
        finally:
            self.tell()
        return self.wrong()

    def count(self):
        return sum(self.done.values())

    def hold(self):
        """All members are connected. Of those that were to stay so all along `Lab.hear` tells."""
        self.lab.mesh(self.members, self.order)

    def membership(self):
        """Somebody joins or is removed, host by host in any order."""
        lab, order = self.lab, self.order
        gone = [name for name in lab.names if name not in self.members]
        if order.random() < 0.25:
            self.clients = () if self.clients else ("client",)
            self.everywhere(self.members)
        elif gone and (len(self.members) < 3 or order.random() < 0.5):
            new = order.choice(gone)
            self.members.append(new)
            self.everywhere(self.members)
        else:
            old = order.choice(self.members)
            self.members.remove(old)
            lab.may_part(old)
            cut = order.random() < 0.7
            self.everywhere(self.members, cut)
            if cut:
                for name in self.members:
                    for family in (4, 6):
                        patiently("%s and %s part" % (old, name), lambda: not lab.connected(name, old, family), 2)

    def everywhere(self, names, cut=False):
        rules = Rules(tuple(sorted(self.members)), self.clients)
        for name in self.order.sample(names, len(names)):
            # What is cut is cut with the change, and not behind one that was killed.
            if not cut and self.order.random() < 0.15:
                late = self.lab.kill_apply(name, rules, self.order.uniform(0, 1.2 * self.took))
                self.done["killed"] += not late
                if self.order.random() < 0.3:
                    self.lab.ringfence(name, "hook", "check")
            begun = time.monotonic()
            self.lab.apply(name, rules, *(["--cut-outgoing"] if cut else []))
            self.took += 0.1 * (time.monotonic() - begun - self.took)
            self.done["applied"] += 1

    def flush(self):
        name = self.order.choice(self.lab.names)
        self.lab.flush(name)
        self.lab.restore(name, *self.order.choice([("hook", "check"), ("apply",)]))
        self.done["flushed"] += 1

    def reboot(self):
        name = self.order.choice(self.lab.names)
        self.lab.reboot(name)
        self.done["rebooted"] += 1

    def wrong(self):
        counts = self.lab.traffic.counts()
        return counts["wrong"][:20] + self.lab.broken[:20] + (["%d questions unanswered" % self.lab.beats()[1]] if self.lab.beats()[1] else [])

    def tell(self):
        counts, (asked, unanswered, longest) = self.lab.traffic.counts(), self.lab.beats()
        print("%d changes in %d s (%s): strangers %d tried, %d through, %d while there were no rules; admitted %d tried, %d lost; "
              "Erlang: %d connections broke, %d questions, %d unanswered, at most %d ms"
              % (self.count(), time.monotonic() - self.begun, ", ".join("%d %s" % (count, what) for what, count in sorted(self.done.items())),
                 counts["strangers"], counts["through"], counts["flushed"], counts["admitted"], len(counts["wrong"]) - counts["through"],
                 len(self.lab.broken), asked, unanswered, longest), flush=True)
