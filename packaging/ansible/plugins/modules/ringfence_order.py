#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the ringfence maintainers
# GNU General Public License v2.0 or later (see https://www.gnu.org/licenses/old-licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: ringfence_order
short_description: Say which nodes a cluster file is to name first, and which at last
version_added: 1.0.0
description:
  - A node that joins is admitted everywhere before it joins. A node that leaves hands over what it owns until it is gone, and
    is admitted until then. So a change opens first, and closes last. C(ringfence diff --membership) says which is which.
  - Fails where a node would be shut out that is still a member, or of which nobody knows.
extends_documentation_fragment:
  - ringfence.cluster.program
author:
  - the ringfence maintainers (@ringfence)
attributes:
  check_mode:
    support: full
    description: Never changes anything.
options:
  content:
    description: The cluster file with all nodes, those that come and those that O(leaving) names.
    type: str
    required: true
  nodes:
    description: The names of all nodes in O(content).
    type: list
    elements: str
    required: true
  leaving:
    description: The names of those among them that leave.
    type: list
    elements: str
    default: []
  gone:
    description: The names of nodes that are no members any more, for where O(membership) is not known.
    type: list
    elements: str
    default: []
  membership:
    description: What C(riak-admin member-status) or C(riak-admin cluster plan) printed. Empty where that is not known.
    type: str
    default: ''
  config:
    description: The cluster file that is on the host.
    type: path
    default: /etc/ringfence/cluster.toml
"""

EXAMPLES = r"""
- name: What is opened first and closed last
  ringfence.cluster.ringfence_order:
    content: "{{ lookup('ansible.builtin.template', 'cluster.toml.j2') }}"
    nodes: ["riak@10.20.0.11", "riak@10.20.0.12"]
    leaving: ["riak@10.20.0.12"]
    membership: "{{ member_status.stdout }}"
  register: order
"""

RETURN = r"""
open:
  description: Those of O(leaving) that the file names while a change opens. Nobody who is in the file now loses anything by it.
  returned: success
  type: list
  elements: str
close:
  description: Those of O(leaving) that the file still names at the end, since they are members.
  returned: success
  type: list
  elements: str
  sample: ["riak@10.20.0.12"]
closes:
  description: Whether there is anything to close.
  returned: success
  type: bool
cut:
  description: Members that the file would shut out, and nodes that it loses though nobody said that they are gone.
  returned: always
  type: list
  elements: str
lost:
  description: Nodes of the file on the host that are not among O(nodes). Not looked for where O(membership) says who is a member.
  returned: always
  type: list
  elements: str
document:
  description: The document of C(ringfence diff --membership). V(none) where O(membership) is empty, or ringfence not installed.
  returned: always
  type: dict
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ringfence.cluster.plugins.module_utils.program import COMMON, Program, read_text

# Why a node is closed that is no member: all other words are of members that are about to go (src/cli/membership.rs).
NO_MEMBER = ["no member", "invalid"]
WRONG_CLUSTER = "wrong-cluster"


class Order(object):
    def __init__(self, module):
        self.module = module
        self.program = Program(module)
        self.old = read_text(module.params["config"])

    def against(self, config, text, membership, hint=""):
        """`ringfence diff CONFIG --membership`, or `None` where the members are another cluster's."""
        handle, path = tempfile.mkstemp(dir=self.module.tmpdir)
        with os.fdopen(handle, "wb") as file:
            file.write(membership.encode("utf-8"))
        words = [self.program.path, "diff", config, "--membership", path]
        ended = self.program.ask(words, text, os.path.dirname(self.module.params["config"]))
        os.unlink(path)
        if ended.answered:
            return ended
        if any(one["code"] == WRONG_CLUSTER for one in ended.get("errors", [])):
            return None
        self.module.fail_json(msg=ended.why() + hint, errors=ended.get("errors", []), cut=[], lost=[], document=None)

    def lost(self):
        """Nodes of the file on the host that are not wanted any more, in ringfence's own reading of both. Who is a member decides
        where that is known, whatever became of the file."""
        if self.old is None or self.program.path is None or self.module.params["membership"].strip():
            return []
        members = "ring_members : [%s]\n" % ",".join("'%s'" % name for name in self.module.params["nodes"])
        ended = self.against(self.module.params["config"], None, members, "; mend the file on the host, or move it away")
        # Of another cluster: `apply` refuses that, and says so.
        return [] if ended is None else names(ended, "close_last")

    def run(self):
        wanted = self.module.params
        gone, cut, document = set(wanted["gone"]), [], None
        lost = self.lost()
        if wanted["membership"].strip() and self.program.path is not None:
            ended = self.against("-", wanted["content"], wanted["membership"])
            if ended is None:
                self.module.fail_json(msg="none of these members is a node of the inventory: are they another cluster's?",
                                      cut=[], lost=lost, document=None)
            document = ended.document
            gone = set(names(ended, "close_last", NO_MEMBER))
            cut = names(ended, "open_first")
            stay = [name for name in wanted["nodes"] if name not in wanted["leaving"]]
            known = [name for name in stay if name not in gone]
            if set(wanted["leaving"]) & gone and 2 * len(known) <= len(stay):
                self.module.fail_json(msg="whoever was asked for the members does not know most of this cluster: ask one that is in it",
                                      cut=[], lost=lost, document=document)
        else:
            cut = [name for name in lost if name not in gone]
        if cut:
            self.module.fail_json(
                msg="would be shut out, and nobody said that they are gone: %s; put them into the group of those who leave" % ", ".join(cut),
                cut=cut, lost=lost, document=document)
        closes = [name for name in wanted["leaving"] if name in gone and self.is_in_file(name)]
        close = [name for name in wanted["leaving"] if name not in gone]
        opened = [name for name in wanted["leaving"] if name in close or name in closes]
        self.module.exit_json(changed=False, open=opened, close=close, closes=bool(closes), cut=[], lost=lost, document=document)

    def is_in_file(self, name):
        """A remark may have it, too: then the node stays open a little longer."""
        return '"%s"' % name in (self.old or "")


def names(ended, step, why=None):
    """Who comes or goes in a step, of those for whom it is for one of these reasons."""
    return [one["name"] for one in ended.document[step]["nodes"] if why is None or one["why"] in why]


def main():
    module = AnsibleModule(
        argument_spec=dict(
            COMMON,
            content=dict(type="str", required=True),
            nodes=dict(type="list", elements="str", required=True),
            leaving=dict(type="list", elements="str", default=[]),
            gone=dict(type="list", elements="str", default=[]),
            membership=dict(type="str", default=""),
            config=dict(type="path", default="/etc/ringfence/cluster.toml"),
        ),
        supports_check_mode=True,
    )
    Order(module).run()


if __name__ == "__main__":
    main()
