# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of the workflow: files in, files out.

A module each, so that a job loads only its own.
"""
