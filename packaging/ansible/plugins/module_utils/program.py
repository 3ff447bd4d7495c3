# -*- coding: utf-8 -*-
# Copyright: the ringfence maintainers
# SPDX-License-Identifier: GPL-2.0-or-later

"""Runs ringfence, and reads the one document that it prints with --json."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import os

# Beside PATH: sudo and cron may leave these out.
FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/local/bin"]

# What every module takes.
COMMON = dict(
    executable=dict(type="path"),
    state_dir=dict(type="path"),
    wait=dict(type="int"),
)


class Ended(object):
    """How a command ended: its exit code, its document, and what it said to people."""

    def __init__(self, code, document, said):
        self.code = code
        self.document = document
        self.said = said

    def get(self, name, default=None):
        """A field of the document. Where the command could not say what was asked, there is none."""
        value = self.document.get(name)
        return default if value is None else value

    @property
    def answered(self):
        """Whether there is more than the head, which has only why there is no more."""
        return bool(set(self.document) - set(["schema", "exit", "outcome", "errors", "findings"]))

    def why(self):
        """Why it did not end as wanted, in one text."""
        lines = [one["message"] if one["message"].startswith(one["code"] + ":") else "%s: %s" % (one["code"], one["message"])
                 for one in self.get("objections", []) if isinstance(one, dict) and not one["allowed"]]
        for one in self.get("errors", []):
            place = "%s:%s: " % (one["file"], one["line"]) if one.get("file") else ""
            lines.append("%s%s: %s" % (place, one["code"], one["message"]))
        if not lines and self.get("state") not in (None, "enforced"):
            lines.append("the rules are %s" % self.get("state"))
        return "; ".join(lines) or self.said.strip() or "ringfence ended with exit code %d" % self.code


class Program(object):
    """ringfence on this host."""

    def __init__(self, module):
        self.module = module
        asked = module.params["executable"]
        if asked:
            self.path = asked if os.access(asked, os.X_OK) else None
        else:
            self.path = module.get_bin_path("ringfence", required=False, opt_dirs=FOLDERS)

    def need(self):
        """Ends the module where there is no ringfence."""
        if self.path is None:
            self.module.fail_json(msg="ringfence is not installed on this host, or not where `executable` says")

    def arguments(self, command, wait=True):
        """The command with what every one of its kind takes."""
        parameters = self.module.params
        words = [self.path] + command
        if parameters["state_dir"]:
            words += ["--state-dir", parameters["state_dir"]]
        if wait and parameters["wait"] is not None:
            words += ["--wait", str(parameters["wait"])]
        return words

    def run(self, words, text=None, folder=None):
        """Runs it. `text` is for its standard input; relative paths in that begin in `folder`."""
        folder = folder if folder and os.path.isdir(folder) else None
        # A list: no shell ever sees it. What it prints is UTF-8, whatever this session speaks.
        return self.module.run_command(words, data=text, binary_data=True, cwd=folder, use_unsafe_shell=False,
                                       environ_update=dict(LC_ALL="C.UTF-8", LANGUAGE=""))

    def ask(self, words, text=None, folder=None):
        """The same with --json."""
        code, output, said = self.run(words + ["--json"], text, folder)
        try:
            document = json.loads(output)
        except ValueError:
            self.module.fail_json(msg="ringfence printed no document: %s" % (said.strip() or output.strip()),
                                  rc=code, cmd=words, stdout=output, stderr=said)
        return Ended(code, document, said)

    def status(self, config=None, full=False):
        """`ringfence status`, of what was applied last where no file is named."""
        words = self.arguments(["status"] + ([config] if config else []), wait=False)
        return self.ask(words + (["--full"] if full else []))


def read_text(path):
    """What is in a file, `None` where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8")
    except (IOError, OSError, UnicodeDecodeError):
        return None
