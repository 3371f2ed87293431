# SPDX-License-Identifier: GPL-3.0-or-later
"""The same function on every tile of a map: plans of tiles, threads, processes and their memory."""
