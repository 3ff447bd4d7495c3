#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: the ringfence maintainers
# GNU General Public License v2.0 or later (see https://www.gnu.org/licenses/old-licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: ringfence_probe
short_description: Say whether TCP connections from this host get through to another one
version_added: 1.0.0
description:
  - Connects to a host, as a peer does, and fails where a port does not answer.
  - It is for a node of a cluster, which looks at another one after its rules were changed.
  - Nothing is sent but the connection itself, which is closed at once.
author:
  - the ringfence maintainers (@ringfence)
attributes:
  check_mode:
    support: full
    description: Never changes anything, and connects in check mode, too.
options:
  host:
    description: The address of the other host. Names are looked up by this host.
    type: str
    required: true
  ports:
    description: Its ports.
    type: list
    elements: int
    required: true
  source:
    description: The address of this host to connect from. By default the one that the route says.
    type: str
  timeout:
    description: Wait at most so many seconds for each port.
    type: int
    default: 5
  accept_refused:
    description:
      - Whether a port may answer that nobody listens there. That answer comes from the host behind its rules, unless rules
        themselves answer so, as C(on-block = "reject") does. Then it is no sign of anything.
    type: bool
    default: true
  listening:
    description:
      - Those of O(ports) on which the other host itself reaches a program. They have to be reached from here, too. Another
        firewall refuses as a host does on which nobody listens.
    type: list
    elements: int
    default: []
"""

EXAMPLES = r"""
- name: A peer still reaches this node
  ringfence.cluster.ringfence_probe:
    host: 10.20.0.11
    ports: [4369]
  delegate_to: riak-2
"""

RETURN = r"""
answers:
  description: What each port answered.
  returned: always
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
      sample: 4369
    answer:
      description: V(connected), V(refused), V(silent) where nothing came back in time, else the system's words for the error.
      type: str
      sample: connected
"""

import errno
import os
import socket
import time

from ansible.module_utils.basic import AnsibleModule


def ask(host, port, source, timeout):
    """What a port answers."""
    try:
        socket.create_connection((host, port), timeout, (source, 0) if source else None).close()
        return "connected"
    except socket.timeout:
        return "silent"
    except (IOError, OSError) as error:
        if error.errno == errno.ECONNREFUSED:
            return "refused"
        return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def patiently(host, port, source, timeout, good):
    """The same, once more while there is time: what refuses may be about to start."""
    end = time.time() + timeout
    while True:
        answer = ask(host, port, source, max(end - time.time(), 0.1))
        if answer in good or time.time() >= end:
            return answer
        time.sleep(min(0.5, max(end - time.time(), 0)))


def main():
    module = AnsibleModule(
        argument_spec=dict(
            host=dict(type="str", required=True),
            ports=dict(type="list", elements="int", required=True),
            source=dict(type="str"),
            timeout=dict(type="int", default=5),
            accept_refused=dict(type="bool", default=True),
            listening=dict(type="list", elements="int", default=[]),
        ),
        supports_check_mode=True,
    )
    wanted = module.params
    good, answers = {}, []
    for port in wanted["ports"]:
        refusal = ["refused"] if wanted["accept_refused"] and port not in wanted["listening"] else []
        good[port] = ["connected"] + refusal
        answers.append(dict(port=port, answer=patiently(wanted["host"], port, wanted["source"], wanted["timeout"], good[port])))
    bad = ["port %d: %s" % (one["port"], one["answer"]) for one in answers if one["answer"] not in good[one["port"]]]
    if bad:
        module.fail_json(msg="%s is not reached from here: %s" % (wanted["host"], ", ".join(bad)), answers=answers)
    module.exit_json(changed=False, answers=answers)


if __name__ == "__main__":
    main()
