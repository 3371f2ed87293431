# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: parse, call `mlatem.steps`, say what was done."""

# Importing a module registers its commands, in the order in which the help shows them.
from mlatem.cli import data, analysis, factors, campaign, cluster  # noqa: F401, I001
from mlatem.cli.app import app

__all__ = ["app"]
