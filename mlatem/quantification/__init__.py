# SPDX-License-Identifier: GPL-3.0-or-later
"""From coefficients to atomic and weight percent."""
