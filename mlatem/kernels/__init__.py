# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled kernels on plain arrays."""
