# SPDX-License-Identifier: GPL-3.0-or-later
"""One module for each vendor's format: what its reader returns, turned into `RawSignals`."""
