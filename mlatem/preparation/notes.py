# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done to a map, in its own details: decisions, verdicts and the path of the drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlatem.io.signals import RawSignals
from mlatem.model import Decision, SpectrumImage, Verdict

#: Of a map's details.
DETAILS = "preprocess"


def verdicts_of(image: SpectrumImage) -> tuple[Verdict, ...]:
    """What the preprocessing of a stored map measured."""
    return tuple(Verdict(**v) for v in image.attrs.get(DETAILS, {}).get("verdicts", ()))


def decisions_of(image: SpectrumImage) -> tuple[Decision, ...]:
    """What was decided in the preprocessing of a stored map."""
    return tuple(Decision(**d) for d in image.attrs.get(DETAILS, {}).get("decisions", ()))


def noted(
    image: SpectrumImage,
    decisions: Sequence[Decision] = (),
    verdicts: Sequence[Verdict] = (),
    **others: Any,
) -> SpectrumImage:
    """The map with more decisions, verdicts and other entries (JSON-safe) in its details."""
    if not decisions and not verdicts and not others:
        return image
    known: Mapping[str, Any] = image.attrs.get(DETAILS, {})
    entries = {
        **known,
        "decisions": [*known.get("decisions", ()), *(d.to_dict() for d in decisions)],
        "verdicts": [*known.get("verdicts", ()), *(v.to_dict() for v in verdicts)],
        **others,
    }
    return replace(image, attrs={**image.attrs, DETAILS: entries})


def with_map(signals: RawSignals, image: SpectrumImage) -> RawSignals:
    """The signals with another X-ray map in place of theirs."""
    old = signals.xray_map
    images = tuple(image if one is old else one for one in signals.spectrum_images)
    return replace(signals, spectrum_images=images)
