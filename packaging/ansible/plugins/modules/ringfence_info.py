#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the ringfence maintainers
# GNU General Public License v2.0 or later (see https://www.gnu.org/licenses/old-licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: ringfence_info
short_description: Say whether the rules of the cluster file are in force on a host
version_added: 1.0.0
description:
  - Runs C(ringfence status), and returns its document.
  - That rules are not in force is an answer and no failure. A cluster file that cannot be used is a failure.
extends_documentation_fragment:
  - ringfence.cluster.program
author:
  - the ringfence maintainers (@ringfence)
attributes:
  check_mode:
    support: full
    description: Never changes anything.
options:
  config:
    description: The cluster file to hold the host against. By default the one that was applied last.
    type: path
  full:
    description: Read everything again, even where the kernel says that nothing has changed.
    type: bool
    default: false
notes:
  - Needs root.
seealso:
  - module: ringfence.cluster.ringfence
"""

EXAMPLES = r"""
- name: What is in force
  ringfence.cluster.ringfence_info:
  register: ringfence

- name: It is what the file says, and somebody confirmed it
  ansible.builtin.assert:
    that:
      - ringfence.state == "enforced"
      - ringfence.status.last_applied.confirmed is not none
"""

RETURN = r"""
present:
  description: Whether ringfence is installed.
  returned: always
  type: bool
  sample: true
state:
  description: What is in force is to the cluster file. V(none) where ringfence is not installed.
  returned: always
  type: str
  sample: enforced
version:
  description: The version of ringfence.
  returned: when ringfence is installed
  type: str
  sample: 0.1.0
waits:
  description: Whether a change waits to be confirmed.
  returned: always
  type: bool
  sample: false
exit:
  description: The exit code of C(ringfence status).
  returned: when ringfence is installed
  type: int
  sample: 0
outcome:
  description: What that means, in a word.
  returned: when ringfence is installed
  type: str
  sample: as-wanted
status:
  description: The whole document, as ringfence's C(docs/json.md) has it.
  returned: when ringfence is installed
  type: dict
  contains:
    digest:
      description: The SHA-256 of the cluster file and its profile.
      type: str
    last_applied:
      description: What was applied last, with C(digest), C(rules_digest), C(version), C(applied), C(confirmed). V(none) where nothing was.
      type: dict
    proved_at:
      description: When the claims were proved last on what the kernel holds.
      type: str
    blocked:
      description: Packets and bytes that were blocked, by service.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.ringfence.cluster.plugins.module_utils.program import COMMON, Program


def main():
    module = AnsibleModule(
        argument_spec=dict(COMMON, config=dict(type="path"), full=dict(type="bool", default=False)),
        supports_check_mode=True,
    )
    program = Program(module)
    if program.path is None:
        module.exit_json(changed=False, present=False, state=None, waits=False)
    ended = program.status(module.params["config"], module.params["full"])
    found = dict(present=True, state=ended.get("state"), version=ended.get("version"), exit=ended.code,
                 outcome=ended.get("outcome"), status=ended.document, waits=ended.get("pending_seconds") is not None)
    if not ended.answered:
        module.fail_json(msg=ended.why(), **found)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
