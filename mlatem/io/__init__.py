# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: vendor formats in, Zarr stores in and out. Knows no physics."""
