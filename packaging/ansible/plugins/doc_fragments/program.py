# -*- coding: utf-8 -*-
# Copyright: the ringfence maintainers
# GNU General Public License v2.0 or later (see https://www.gnu.org/licenses/old-licenses/gpl-2.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type


class ModuleDocFragment(object):
    """What every module takes that runs the program."""

    DOCUMENTATION = r"""
options:
  executable:
    description: Where ringfence is. By default it is looked for in the usual places.
    type: path
  state_dir:
    description: Where ringfence keeps its state, if not in C(/var/lib/ringfence).
    type: path
  wait:
    description: Wait at most so many seconds for another run that is at work. By default ringfence's own. What only looks does not wait.
    type: int
"""
