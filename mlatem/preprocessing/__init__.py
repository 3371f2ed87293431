# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out from the data before the factorisation."""
