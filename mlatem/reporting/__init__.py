# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and pictures for people."""
