# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a raw file was whole, for the report."""

from __future__ import annotations

from mlatem.model import SpectrumImage, Verdict


def verdicts(image: SpectrumImage) -> tuple[Verdict, ...]:
    """A verdict where the conversion warned of the raw file; none where it did not."""
    warnings = [str(sentence) for sentence in image.attrs.get("warnings", ())]
    if not warnings:
        return ()
    return (
        Verdict(
            "doubts about the raw file",
            float(len(warnings)),
            0.0,
            "",
            "warning",
            "; ".join(warnings),
        ),
    )
