# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of one acquisition: found beside the one that is named, and checked where several are.

DigitalMicrograph saves the core loss, the low loss, X-rays and images of one spectrum image as
files of their own. Their names make a candidate, their metadata decide. TIA names all files of an
acquisition after one .emi file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlatem.io.formats import tia
from mlatem.io.formats.common import with_warning
from mlatem.io.identity import relation
from mlatem.io.signals import RawSignals, group_of
from mlatem.model import SpectrumImage

#: Suffixes of files that may belong together.
FAMILIES = (frozenset({".dm3", ".dm4"}),)
#: Relative difference of the pixel sizes of two maps of one scan.
MAX_PIXEL_DIFFERENCE = 1e-3
#: Words by which the names of files of one acquisition differ.
_ROLES = re.compile(
    r"spectrum\W*image|eels|eds|edx|hl|ll|si|high\W*loss|low\W*loss|core\W*loss|"
    r"(?:haadf|adf|abf|bf|df)(?:\W*image)?|survey(?:\W*image)?|image|x\W*ray"
)


def candidates(path: Path) -> list[Path]:
    """Files beside `path` that by their names may be of the same acquisition, in order.

    Of a .ser file these are the others of its .emi file.

    What is left of a name without the words for kinds of signals has to be equal: "03-EELS HL SI"
    goes with "03-HAADF", not with "04-HAADF" or "03-EELS HL SI (aligned)".
    """
    if path.suffix.lower() == ".ser":
        return [file for file in tia.siblings(path) if file.name != path.name]
    family = next((f for f in FAMILIES if path.suffix.lower() in f), frozenset())
    stem = stem_of(path)
    return [
        file
        for file in sorted(path.parent.iterdir())
        if file.suffix.lower() in family
        and file.name != path.name
        and file.is_file()
        and stem_of(file) == stem
    ]


def stem_of(path: Path) -> str:
    """What is left of a file's name without the words for kinds of signals."""
    words = re.sub(r"[_\W]+", " ", path.stem.lower())
    words = re.sub(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", " ", words)
    kept = re.sub(rf"\b(?:{_ROLES.pattern})\b|spectrumimage", " ", words)
    return " ".join(kept.split())


def companions_of(
    named: RawSignals, found: Iterable[RawSignals]
) -> Iterator[tuple[RawSignals, str]]:
    """Those of the candidates that are of the acquisition of the file that was named, and why.

    Maps have to be of the size and pixel size of the named one. A kind of map that the named file
    has, or that two candidates have, is left out: there is doubt which one is meant.

    Parameters
    ----------
    named : RawSignals
        With a map at least.
    found : iterable of RawSignals
    """
    confirmed: list[tuple[RawSignals, str]] = []
    for signals in found:
        kind, words = relation(named.identity, signals.identity)
        if kind == "same" and all(_is_same_grid(named, image) for image in signals.spectrum_images):
            confirmed.append((signals, words))
    kinds = [_kinds(signals) for signals, _ in confirmed]
    for (signals, words), own in zip(confirmed, kinds, strict=True):
        is_alone = sum(1 for other in kinds if own & other) <= 1
        if not own & _kinds(named) and is_alone:
            yield signals, words


def _is_same_grid(named: RawSignals, image: SpectrumImage) -> bool:
    one = named.spectrum_images[0]
    sizes = [i.attrs.get("pixel_size_nm", ()) for i in (one, image)]
    return one.shape[:2] == image.shape[:2] and np.allclose(
        sizes[0], sizes[1], rtol=MAX_PIXEL_DIFFERENCE
    )


def _kinds(signals: RawSignals) -> set[str]:
    return {group_of(image) for image in signals.spectrum_images}


def with_doubts(opened: Sequence[RawSignals]) -> list[RawSignals]:
    """Files that were named together; maps of those that are of another acquisition say so."""
    checked = [opened[0]]
    for signals in opened[1:]:
        kind, words = relation(opened[0].identity, signals.identity)
        if kind == "other":
            sentence = (
                f"{Path(opened[0].path).name} and {Path(signals.path).name} are not of one "
                f"acquisition: {words}; check that the path names the right files"
            )
            signals = _warned(signals, sentence)  # noqa: PLW2901
            checked[0] = _warned(checked[0], sentence)
        checked.append(signals)
    return checked


def _warned(signals: RawSignals, sentence: str) -> RawSignals:
    images = tuple(with_warning(image, sentence) for image in signals.spectrum_images)
    return replace(signals, spectrum_images=images)
