#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the ringfence maintainers
# GNU General Public License v2.0 or later (see https://www.gnu.org/licenses/old-licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: ringfence
short_description: Bring the rules of a cluster file into force on a host, and prove them
version_added: 1.0.0
description:
  - Runs C(ringfence apply), C(confirm), C(rollback) or C(remove), and says what came of it.
  - A cluster file with errors, or one that ringfence refuses, replaces nothing. The file that was there stays, and so do the rules.
  - Check mode is answered by C(ringfence apply --dry-run), which says C(changed) exactly where the run then writes something.
    Two things only a run can find out. One is the objection V(not-through), and what firewalld would lose by a reload. The
    other is what others do to the kernel's rules between the check and the run.
  - Where ringfence is not installed, check mode says what would come of it in a word, and the run fails.
extends_documentation_fragment:
  - ringfence.cluster.program
author:
  - the ringfence maintainers (@ringfence)
attributes:
  check_mode:
    support: full
    description: Writes nothing, and says C(changed) where the run would.
  diff_mode:
    support: full
    description: What changes in the file, and what C(ringfence diff) says of the rules.
options:
  state:
    description:
      - V(applied) brings the rules into force. Where they are, and the file is the same, nothing is changed.
      - V(confirmed) keeps a change that waits for it. Where nothing waits, that is fine as long as what was applied last is in force.
      - V(rolled_back) takes a change back that waits, and brings back the cluster file from before it.
      - V(absent) takes away the rules, the reserved ports and the state. The cluster file and the package stay.
    type: str
    choices: [applied, confirmed, rolled_back, absent]
    default: applied
  config:
    description: Where the cluster file is.
    type: path
    default: /etc/ringfence/cluster.toml
  content:
    description:
      - The text that the cluster file is to have. It is looked through before it replaces what is there.
      - Without it, the file is used as it is.
    type: str
  node:
    description: Which node of the file this host is. By default that of the last apply, else the one whose address it has.
    type: str
  backend:
    description: How rules get into the kernel. By default that of the last apply, else nft where the kernel has it.
    type: str
    choices: [auto, nft, iptables]
    default: auto
  confirm_within:
    description:
      - Take the change back unless it is confirmed within so many seconds. The host does that by itself, also where nobody reaches it.
      - The time begins when the change is in force. From 1 to 86400.
    type: int
  allow:
    description: Objections that are no reason to refuse, by their codes.
    type: list
    elements: str
    choices:
      - cut-ssh
      - no-node
      - missing-interface
      - foreign-address
      - other-interface
      - vrf-interface
      - other-cluster
      - other-source
      - not-through
      - unblocks
    default: []
  accept:
    description:
      - With which states of the host the module is content, beside V(enforced), once the rules are in force.
      - V(undecided) is where rules of others are not understood. V(shadowed) is where they shut peers out, or let strangers pass.
      - V(staged) is where the file only logs whom it would block. Nobody is blocked then.
    type: list
    elements: str
    choices: [undecided, shadowed, staged]
    default: []
  cut_outgoing:
    description: Also end the sessions that this host opened to hosts that are no longer admitted.
    type: bool
    default: false
  root:
    description: Write other files, as that of the reserved ports, below this folder.
    type: path
notes:
  - Needs root.
  - The program is run with a list of arguments. No shell sees any of them.
seealso:
  - module: ringfence.cluster.ringfence_info
"""

EXAMPLES = r"""
- name: The rules of the cluster are in force, or taken back after a minute
  ringfence.cluster.ringfence:
    content: "{{ lookup('ansible.builtin.template', 'cluster.toml.j2') }}"
    confirm_within: 60
  register: applied

- name: This connection is a new one
  ansible.builtin.meta: reset_connection

- name: They stay
  ringfence.cluster.ringfence:
    state: confirmed
  when: applied.confirm is not none

- name: A cloud whose nodes know each other by addresses that are not theirs
  ringfence.cluster.ringfence:
    node: riak@10.20.0.11
    allow:
      - foreign-address

- name: No rules of ringfence on this host
  ringfence.cluster.ringfence:
    state: absent
"""

RETURN = r"""
file:
  description:
    - What became of the cluster file. In check mode, what would.
    - V(restored) and V(removed) are of O(state=rolled_back), V(removed) where there was no file before.
  returned: success
  type: str
  choices: [same, created, replaced, restored, removed]
  sample: replaced
rules_changed:
  description: Whether anything but the file was written. In check mode, whether it would be.
  returned: success
  type: bool
  sample: true
writes:
  description: The kinds of what was written, or would be.
  returned: when O(state=applied) and ringfence is installed
  type: list
  elements: str
  sample: [members]
state:
  description: What is in force is to the cluster file. In check mode it is what is in force now.
  returned: when ringfence said it
  type: str
  sample: enforced
objections:
  description: What speaks against it. With one that is not allowed, nothing is changed, and the module fails.
  returned: when O(state=applied) and ringfence is installed
  type: list
  elements: dict
  contains:
    code:
      description: What O(allow) takes.
      type: str
      sample: cut-ssh
    message:
      description: What would happen.
      type: str
    allowed:
      description: Whether it was done all the same.
      type: bool
errors:
  description: Why it could not be done, each with C(code), C(severity), C(message), C(file), C(line) and C(help).
  returned: when ringfence ran
  type: list
  elements: dict
findings:
  description: Warnings about the file and the host, of the same form.
  returned: when ringfence ran
  type: list
  elements: dict
claims:
  description: What was claimed of the rules that the kernel holds, and what came of it.
  returned: when the rules are in force
  type: list
  elements: dict
  sample:
    - claim: isolation
      result: proved
confirm:
  description: How the change is confirmed that waits for it, with C(command), C(seconds) and C(deadline). V(none) where nothing waits.
  returned: when O(state=applied)
  type: dict
  sample:
    command: ringfence confirm
    seconds: 60
    deadline: '2026-11-29T07:00:00Z'
exit:
  description: The exit code of ringfence.
  returned: when ringfence ran
  type: int
  sample: 0
outcome:
  description: What that means, in a word.
  returned: when ringfence ran
  type: str
  sample: as-wanted
document:
  description: The whole document that ringfence printed, as its C(docs/json.md) has it.
  returned: when ringfence ran
  type: dict
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ringfence.cluster.plugins.module_utils.program import COMMON, Program, read_text

# Beside the cluster file: what it was before a change that waits. Empty where there was none; no cluster file is.
BEFORE = ".before"
# Exit codes of ringfence: nothing is there that was asked about; something is not understood.
NOTHING_THERE = 4
UNDECIDED = 3
# Of a time to confirm, in seconds.
LONGEST = 86400


class Applying(object):
    """Brings the rules of a file into force."""

    def __init__(self, module):
        self.module = module
        self.program = Program(module)
        self.config = module.params["config"]
        self.old = read_text(self.config)
        self.wanted = module.params["content"]
        self.file = "same"
        if self.wanted is not None and self.wanted != self.old:
            self.file = "replaced" if os.path.lexists(self.config) else "created"

    def options(self):
        parameters = self.module.params
        words = ["--backend", parameters["backend"]]
        for name in ("node", "root"):
            if parameters[name]:
                words += ["--" + name, parameters[name]]
        if parameters["allow"]:
            words += ["--allow", ",".join(parameters["allow"])]
        return words

    def look(self):
        """What the run would do. Nothing is written, and the text comes by standard input, so that it need not be."""
        name = self.config if self.wanted is None else "-"
        words = self.program.arguments(["apply", name, "--dry-run"] + self.options())
        return self.program.ask(words, self.wanted, os.path.dirname(self.config))

    def difference(self):
        """The same in words, for diff mode."""
        shown = [dict(before=self.old or "", after=self.old or "" if self.wanted is None else self.wanted,
                      before_header=self.config, after_header=self.config)]
        if self.program.path is not None:
            name = self.config if self.wanted is None else "-"
            words = self.program.arguments(["apply", name, "--dry-run"] + self.options())
            shown.append(dict(prepared=self.program.run(words, self.wanted, os.path.dirname(self.config))[1]))
        return shown

    def refused(self, ended):
        """Why the run does not go on, or would not: it is the same that it says, too."""
        if not ended.answered or ended.code not in (0, 1, UNDECIDED) or any(not one["allowed"] for one in ended.get("objections", [])):
            return ended.why()
        if not ended.get("changed") and not self.content_with(ended):
            return "nothing is to be changed, and yet %s" % ended.why()
        return None

    def content_with(self, ended):
        return ended.get("state") == "not-applied" or is_fine(self.module, ended)

    def run(self):
        result = dict(file=self.file, confirm=None)
        if self.module._diff:
            result["diff"] = self.difference()
        if self.program.path is None:
            if not self.module.check_mode:
                self.program.need()
            result.update(changed=True, rules_changed=True,
                          msg="ringfence is not installed: the run would install it first, and then apply the file")
            self.module.exit_json(**result)
        ahead = self.look()
        result.update(facts(ahead))
        why = self.refused(ahead)
        if why:
            self.fail(result, "nothing was changed: " + why)
        if self.module.check_mode:
            rules = bool(ahead.get("changed"))
            self.module.exit_json(**dict(result, changed=rules or self.file != "same", rules_changed=rules))
        self.apply(result)

    def apply(self, result):
        before = self.replace()
        words = ["apply", self.config] + self.options()
        if self.module.params["confirm_within"]:
            words += ["--confirm-within", "%ds" % self.module.params["confirm_within"]]
        if self.module.params["cut_outgoing"]:
            words.append("--cut-outgoing")
        ended = self.program.ask(self.program.arguments(words))
        result.update(facts(ended))
        result["confirm"] = ended.get("confirm")
        rules = bool(ended.get("changed"))
        result.update(rules_changed=rules, changed=rules or self.file != "same")
        if ended.get("state") is None:
            # The rules from before are in force, so that file is to be there, too.
            put_back(self.module, self.config, before)
            result.update(changed=False, file="same")
            self.fail(result, ended.why())
        if result["confirm"] is None:
            # Also one that an earlier run left, whose change was confirmed by somebody else.
            remove(self.config + BEFORE)
        # Not kept for the next start of the machine, or its time is up already: exit codes say so, and no state.
        if not is_fine(self.module, ended) or ended.code not in (0, 1, UNDECIDED):
            self.fail(result, ended.why())
        self.module.exit_json(**result)

    def replace(self):
        """Puts the new file in its place in one step, and keeps the old one beside it. Returns where that is."""
        if self.file == "same":
            return None
        folder = os.path.dirname(self.config)
        if not os.path.isdir(folder):
            self.module.fail_json(msg="there is no folder %s, which the package makes" % folder)
        before = self.config + BEFORE
        # What is there was itself taken back: what to go back to is older still.
        if not (os.path.exists(before) and was_taken_back(self.program.status())):
            write(self.module, before, self.old or "")
        write(self.module, self.config, self.wanted)
        return before

    def fail(self, result, why):
        self.module.fail_json(**dict(result, msg=why))


def is_fine(module, ended):
    """Whether the rules are as they are to be, or will be by the confirmation alone, which takes away the rules of the other back end that
    stay until then and shut out whom they do not know."""
    state = ended.get("state_once_confirmed") or ended.get("state")
    return state in ["enforced"] + module.params["accept"]


def was_taken_back(status):
    """Whether a change did not stay: it is said, or its host started again, which keeps only what was confirmed."""
    return bool(status.get("taken_back")) or status.get("state") == "not-applied"


def facts(ended):
    """What is returned of a document."""
    named = ["state", "objections", "writes", "claims"]
    found = dict((name, ended.document[name]) for name in named if ended.document.get(name) is not None)
    found.update(exit=ended.code, outcome=ended.get("outcome"), errors=ended.get("errors", []),
                 findings=ended.get("findings", []), document=ended.document)
    return found


def write(module, path, text):
    """Puts a file in its place in one step, with the mode of the one that was there."""
    handle, new = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode("utf-8"))
    if not os.path.exists(path):
        os.chmod(new, 0o640)
    module.atomic_move(new, path)


def remove(path):
    if path and os.path.exists(path):
        os.unlink(path)


def put_back(module, config, before):
    """Brings back the cluster file from before a change. Says what came of it."""
    if not before or not os.path.exists(before):
        return "same"
    if os.path.getsize(before) == 0:
        remove(before)
        remove(config)
        return "removed"
    module.atomic_move(before, config)
    return "restored"


def answer_of(module, program):
    """The status. Without an answer nobody knows whether something waits."""
    status = program.status()
    if not status.answered:
        module.fail_json(msg=status.why(), **facts(status))
    return status


def confirmed(module, program):
    config = module.params["config"]
    status = answer_of(module, program)
    waits = status.get("pending_seconds") is not None
    if not waits and status.get("taken_back"):
        module.fail_json(msg="there is nothing to confirm: %s" % status.get("taken_back"), **facts(status))
    # Before it is confirmed: what stays would be no better for it.
    if not module.check_mode and not is_fine(module, status):
        module.fail_json(msg="not confirmed: %s" % status.why(), **facts(status))
    if module.check_mode or not waits:
        if not module.check_mode:
            remove(config + BEFORE)
        module.exit_json(changed=waits, rules_changed=False, file="same", **facts(status))
    words = program.arguments(["confirm"] + (["--cut-outgoing"] if module.params["cut_outgoing"] else []))
    ended = program.ask(words)
    if ended.get("changed") is not True or not is_fine(module, ended):
        module.fail_json(msg=ended.why(), **facts(ended))
    remove(config + BEFORE)
    module.exit_json(changed=True, rules_changed=False, file="same", **facts(ended))


def rolled_back(module, program):
    config = module.params["config"]
    status = answer_of(module, program)
    waits = status.get("pending_seconds") is not None
    # Its host took it back by itself meanwhile: then the file is still to follow.
    restores = os.path.exists(config + BEFORE) and (waits or was_taken_back(status))
    if module.check_mode:
        module.exit_json(changed=waits or restores, rules_changed=waits, file="restored" if restores else "same", **facts(status))
    ended = status
    if waits:
        ended = program.ask(program.arguments(["rollback"]))
        if not ended.get("changed") and ended.code != NOTHING_THERE:
            module.fail_json(msg=ended.why(), **facts(ended))
    file = put_back(module, config, config + BEFORE) if restores else "same"
    rules = bool(ended.get("changed"))
    module.exit_json(changed=rules or file != "same", rules_changed=rules, file=file, **facts(ended))


def absent(module, program):
    if module.check_mode:
        status = program.status()
        there = status.get("state") not in (None, "absent") or status.get("last_applied") or status.get("gone")
        there = there or status.get("pending_seconds") is not None or status.get("closed")
        reserved = os.path.join(module.params["root"] or "/", "etc/sysctl.d/60-ringfence.conf")
        there = bool(there) or os.path.exists(reserved)
        module.exit_json(changed=there, rules_changed=there, file="same", **facts(status))
    words = ["remove"] + (["--root", module.params["root"]] if module.params["root"] else [])
    ended = program.ask(program.arguments(words))
    if ended.code != 0:
        module.fail_json(msg=ended.why(), **facts(ended))
    changed = bool(ended.get("changed"))
    found = facts(ended)
    # There it is what was remembered, and no word for how things are.
    found["state"] = "absent"
    module.exit_json(changed=changed, rules_changed=changed, file="same", **found)


def main():
    allowed = ["cut-ssh", "no-node", "missing-interface", "foreign-address", "other-interface", "vrf-interface",
               "other-cluster", "other-source", "not-through", "unblocks"]
    module = AnsibleModule(
        argument_spec=dict(
            COMMON,
            state=dict(type="str", choices=["applied", "confirmed", "rolled_back", "absent"], default="applied"),
            config=dict(type="path", default="/etc/ringfence/cluster.toml"),
            content=dict(type="str"),
            node=dict(type="str"),
            backend=dict(type="str", choices=["auto", "nft", "iptables"], default="auto"),
            confirm_within=dict(type="int"),
            allow=dict(type="list", elements="str", choices=allowed, default=[]),
            accept=dict(type="list", elements="str", choices=["undecided", "shadowed", "staged"], default=[]),
            cut_outgoing=dict(type="bool", default=False),
            root=dict(type="path"),
        ),
        supports_check_mode=True,
    )
    state = module.params["state"]
    within = module.params["confirm_within"]
    if within is not None and not 1 <= within <= LONGEST:
        module.fail_json(msg="confirm_within: from 1 to %d seconds" % LONGEST)
    if state == "applied":
        Applying(module).run()
    program = Program(module)
    if program.path is None and state in ("rolled_back", "absent"):
        module.exit_json(changed=False, rules_changed=False, file="same", msg="ringfence is not installed")
    program.need()
    {"confirmed": confirmed, "rolled_back": rolled_back, "absent": absent}[state](module, program)


if __name__ == "__main__":
    main()
