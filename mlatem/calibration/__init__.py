# SPDX-License-Identifier: GPL-3.0-or-later
"""From a spectrum image to its elements, its calibrated axis and detector, and its line factors."""
