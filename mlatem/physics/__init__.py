# SPDX-License-Identifier: GPL-3.0-or-later
"""Forward models: from atoms and electrons to detected counts."""
