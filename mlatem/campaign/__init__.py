# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns: their folder and its files, what their jobs ask a cluster for, one run at a time."""
