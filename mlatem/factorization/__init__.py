# SPDX-License-Identifier: GPL-3.0-or-later
"""The physics-guided factorisation: regions, compositions, abundances, merge."""
