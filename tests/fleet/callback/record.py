"""A callback of Ansible that writes down what came of each task, one JSON document a line."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: What came of each task
description: One line of JSON for each, in the file that FLEET_RECORD names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"
    CALLBACK_NEEDS_ENABLED = True

    def put(self, how, result):
        fields = result._result
        line = dict(at=time.time(), how=how, host=result._host.get_name(), task=result._task.get_name().split(" : ")[-1],
                    action=result._task.action, changed=bool(fields.get("changed")), msg=str(fields.get("msg", "")),
                    state=fields.get("state") if isinstance(fields.get("state"), str) else None)
        with open(os.environ["FLEET_RECORD"], "a") as file:
            file.write(json.dumps(line) + "\n")

    def v2_runner_on_ok(self, result):
        self.put("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.put("failed", result)

    def v2_runner_on_unreachable(self, result):
        self.put("unreachable", result)
