"""Labs with something wrong on purpose, for each of which the scene that is about it has to fail: checks that cannot fail show nothing."""

import scenes
from labs import Lab
from policy import NOTHING


class Broken(Lab):
    """From `wrong` on something is. What the host says of its state is never the reason to fail, but what gets through."""

    wrong = False

    def state(self, name):
        return "absent" if NOTHING in self.guards[name].now() else "enforced"


class NoRules(Broken):
    """no rules come in"""

    def apply(self, name, rules=None, *arguments):
        if not self.wrong:
            return super().apply(name, rules, *arguments)
        self.write(name, rules)
        self.is_now(name, rules)
        return ""


class ForgetsPeer(Broken):
    """one host's rules forget a peer"""

    def write(self, name, rules):
        super().write(name, rules)
        if self.wrong and name == rules.members[-1]:
            self.hosts[name].path("/etc/ringfence/cluster.toml").write_text(rules._replace(members=rules.members[1:]).text(self.hosts))


class OpensBetween(Broken):
    """rules are flushed before they change"""

    def apply(self, name, rules=None, *arguments):
        if self.wrong:
            self.hosts[name].must("nft", "flush", "ruleset")
        return super().apply(name, rules, *arguments)


class NeverCuts(Broken):
    """rules change by nft, and sessions are blocked, but not cut"""

    def apply(self, name, rules=None, *arguments):
        if not self.wrong:
            return super().apply(name, rules, *arguments)
        self.write(name, rules)
        self.changes(name, rules)
        host = self.hosts[name]
        host.must("sh", "-ec", "/mnt/ringfence compile --node riak@%s --format nft -o /tmp/out && nft -f /tmp/out/ringfence.nft" % host.v4)
        self.is_now(name, rules)
        return ""


class NoRestore(Broken):
    """what was flushed stays so"""

    def restore(self, name, *words):
        self.is_now(name, self.files[name])


class NoBoot(Broken):
    """the machine starts without rules"""

    def boot(self, name):
        pass


# What the lab is brought to, who is broken, the scene that has to fail, and what it says.
ALL = [
    ([], NoRules, scenes.form, "must not"),
    ([scenes.form], ForgetsPeer, scenes.rolling, "must pass"),
    ([scenes.form], OpensBetween, scenes.rolling, "must not"),
    ([scenes.form, scenes.join], NeverCuts, scenes.leave, "part by IPv"),
    ([scenes.form], NoRestore, scenes.flushed, "must not"),
    ([scenes.form], NoBoot, scenes.reboot, "must not"),
]


def fails(make, number):
    """One of them."""
    before, kind, scene, says = ALL[number]
    lab = make(kind)
    for earlier in before:
        earlier(lab)
    lab.wrong = True
    try:
        scene(lab)
    except AssertionError as error:
        lab.check(says in str(error), "another reason: %s" % error)
        print("         %s: %s" % (kind.__doc__, str(error).splitlines()[:2][-1][:150]), flush=True)
        return
    raise AssertionError("%s, and `%s` does not see it" % (kind.__doc__, scene.__name__))
