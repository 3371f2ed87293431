# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of the workflow: files in, files out."""
