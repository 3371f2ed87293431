# SPDX-License-Identifier: GPL-3.0-or-later
"""From opened raw files to counts as they are stored: drift, masks, crops, sums of channels."""

from mlatem.preparation.notes import DETAILS, decisions_of, verdicts_of
from mlatem.preparation.prepare import Prepared, prepare

__all__ = ["DETAILS", "Prepared", "decisions_of", "prepare", "verdicts_of"]
