# SPDX-License-Identifier: GPL-3.0-or-later
"""Rank, low-rank basis and scores of spectrum images."""
