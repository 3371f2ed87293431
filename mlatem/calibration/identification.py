# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of a spectrum image: its sum spectrum, its blocks, and the physics."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.calibration.element_hints import neighbour_hint, part_hint
from mlatem.errors import InputError
from mlatem.model.identification import FoundElement, Identification, Rank, Role
from mlatem.passes import TileSource, block_sums_pass, sum_spectrum_pass
from mlatem.physics.absorption import escape_probability
from mlatem.physics.all_elements import ELEMENTS, absorption_curve, element_groups
from mlatem.physics.background import continuum_columns
from mlatem.physics.detector import PAIR_ENERGY_EV
from mlatem.preprocessing.element_search import Search
from mlatem.preprocessing.identify import AXIS_SIGMA, Axis, Builder, Found, find_elements
from mlatem.preprocessing.line_library import LineLibrary
from mlatem.preprocessing.rare_elements import RarePart, rare_parts
from mlatem.units import FWHM_PER_SIGMA

Array = NDArray[np.float64]

_logger = logging.getLogger(__name__)

_SUM = "sum spectrum"
_MAJOR_RATIO = 100.0
_LEAST_COUNTS = 1000.0
#: Share of the counts above the window, and its least number of channels.
_TAIL_SHARE, _LEAST_CHANNELS = 1e-4, 400
_TAIL_MARGIN = 50
#: Functions of the continuum, more than a calibrated fit needs: the specimen is not yet known.
_CONTINUUM_FUNCTIONS = 8
#: Sigma of the mass thickness whose absorption edges are let into the continuum, kg/m2.
_THICKNESS_SIGMA = 3e-4
_BLOCKS = 2500


@dataclass(frozen=True)
class Conditions:
    """What has to be known for an identification."""

    beam_energy_kev: float
    take_off_angle_deg: float
    noise_ev: float
    fano: float
    elements: tuple[str, ...] = ()
    """A list to check; empty to find all."""
    system_elements: tuple[str, ...] = ()


def identify_spectrum(
    counts: Array,
    energy: Array,
    conditions: Conditions,
    *,
    edxs: _settings.Edxs,
    settings: _settings.Identify,
) -> Identification:
    """The elements of one spectrum.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
        On the whole axis.
    energy : ndarray of shape (n_energy,)
        Channel centres as the file has them, keV.
    conditions : Conditions
    edxs : settings.Edxs
    settings : settings.Identify

    Raises
    ------
    InputError
        If the window holds fewer than a thousand counts or too few channels.
    """
    found = _find(counts, energy, conditions, edxs, settings)
    return _record(found, conditions, settings)


def identify_source(
    source: TileSource,
    energy: Array,
    conditions: Conditions,
    *,
    edxs: _settings.Edxs,
    settings: _settings.Identify,
    counts: Array | None = None,
) -> Identification:
    """The elements of a map, those of small parts of it too.

    Parameters
    ----------
    source : TileSource
        All channels of the map.
    energy, conditions, edxs, settings
        As for `identify_spectrum`.
    counts : ndarray of shape (n_energy,), optional
        The sum spectrum, where it is known.

    Raises
    ------
    InputError
        As `identify_spectrum`.
    """
    total = sum_spectrum_pass(source) if counts is None else counts
    found = _find(total, energy, conditions, edxs, settings)
    identification = _record(found, conditions, settings)
    ny, nx = source.shape
    if not settings.rare or ny * nx < 4:
        return identification
    block_px = max(1, math.ceil(math.sqrt(ny * nx / _BLOCKS)))
    blocks = block_sums_pass(source, block_px)[..., _window(total, energy, conditions, edxs)]
    parts = rare_parts(
        np.add.reduceat(blocks, found.search.library.bins, axis=-1), found.search, found.explanation
    )
    return _with_rare(identification, found, parts, settings)


def _find(
    counts: Array,
    energy: Array,
    conditions: Conditions,
    edxs: _settings.Edxs,
    settings: _settings.Identify,
) -> Found:
    window = _window(counts, energy, conditions, edxs)
    inside = float(np.sum(counts[window]))
    if inside < _LEAST_COUNTS:
        raise InputError(
            f"{inside:.0f} counts between {energy[window][0]:.2f} and {energy[window][-1]:.2f} keV "
            f"are too few to identify elements, {_LEAST_COUNTS:.0f} are needed: name the elements "
            "in the column `elements` of the sample sheet"
        )
    return find_elements(
        counts,
        energy,
        window,
        _builder(energy, window, conditions, edxs),
        start=Axis(0.0, 0.0, conditions.noise_ev, conditions.fano),
        expected=(*conditions.system_elements, *conditions.elements),
        options=settings,
    )


def _window(counts: Array, energy: Array, conditions: Conditions, edxs: _settings.Edxs) -> slice:
    """Channels from `energy_min_kev` to where the counts end."""
    first = int(np.searchsorted(energy, edxs.energy_min_kev))
    end = min(edxs.energy_max_kev or np.inf, conditions.beam_energy_kev)
    stop = int(np.searchsorted(energy, end, side="right"))
    if stop - first < _LEAST_CHANNELS // 10:
        raise InputError(
            f"the energy axis runs from {energy[0]:.2f} to {energy[-1]:.2f} keV and has "
            f"{max(stop - first, 0)} channels between {edxs.energy_min_kev} and {end} keV: check "
            "the axis (it is in keV), or edxs.energy_min_kev and edxs.energy_max_kev"
        )
    running = np.cumsum(counts[first:stop])
    tail = int(np.searchsorted(running, (1.0 - _TAIL_SHARE) * running[-1])) + _TAIL_MARGIN
    return slice(first, min(first + max(tail, _LEAST_CHANNELS), stop))


def _builder(energy: Array, window: slice, conditions: Conditions, edxs: _settings.Edxs) -> Builder:
    named = (*conditions.elements, *conditions.system_elements)
    elements = tuple(dict.fromkeys((*ELEMENTS, *named)))
    path = _THICKNESS_SIGMA / math.sin(math.radians(conditions.take_off_angle_deg))

    def build(axis: Axis) -> LineLibrary:
        inside = axis.corrected(energy)[window]
        groups, columns = element_groups(
            inside,
            elements=elements,
            beam_energy_kev=conditions.beam_energy_kev,
            noise_ev=axis.noise_ev,
            fano=axis.fano,
            detector=edxs.detector,
        )
        continuum = continuum_columns(
            inside,
            n_functions=_CONTINUUM_FUNCTIONS,
            detector=edxs.detector,
            take_off_angle_deg=conditions.take_off_angle_deg,
        )
        return LineLibrary(
            energy=inside,
            groups=columns,
            totals=np.array([group.total for group in groups]),
            elements=tuple(group.element for group in groups),
            families=tuple(group.family for group in groups),
            lines=tuple(group.line for group in groups),
            line_energy_kev=np.array([group.energy_kev for group in groups]),
            continuum=continuum,
            absorption={
                e: 1.0 - escape_probability(path * absorption_curve(e, inside)) for e in elements
            },
            variance_per_noise=2e-6 * axis.noise_ev / FWHM_PER_SIGMA**2,
            variance_per_fano=1e-3 * PAIR_ENERGY_EV * inside,
            axis_sigma=AXIS_SIGMA,
        )

    return build


def _record(found: Found, conditions: Conditions, settings: _settings.Identify) -> Identification:
    """The findings as a record, the surest first."""
    amounts = found.explanation.counts
    total = max(sum(amounts.values()), 1e-300)
    entries = []
    for element, ratio in found.ratios.items():
        share = amounts[element] / total
        rank: Rank = "candidate"
        if ratio >= settings.threshold * found.misfit:
            is_sure = ratio >= _MAJOR_RATIO and not neighbour_hint(element, found.ratios)
            rank = "major" if is_sure and share >= settings.major_share else "minor"
        elif ratio < settings.candidate_threshold * found.misfit:
            continue
        entries.append(_entry(found, conditions, element, rank, ratio, amounts[element], share))
    for element, ratio in found.candidates.items():
        entries.append(_entry(found, conditions, element, "candidate", ratio, None, 0.0))
    entries.sort(key=lambda entry: (entry.rank == "candidate", -entry.likelihood_ratio))
    deviance = found.explanation.objective / found.search.counts.size
    return Identification(tuple(entries), float(deviance))


def _entry(
    found: Found,
    conditions: Conditions,
    element: str,
    rank: Rank,
    ratio: float,
    counts: float | None,
    share: float,
) -> FoundElement:
    line, energy = found.search.library.strongest_line(element)
    is_system = element in conditions.system_elements
    hint = "" if is_system or rank == "candidate" else part_hint(element, share)
    if rank == "minor":
        hint = neighbour_hint(element, found.ratios) or hint
    role: Role = "instrument" if is_system else "specimen"
    n_counts = None if counts is None else float(counts)
    return FoundElement(element, rank, role, n_counts, float(ratio), line, energy, _SUM, hint)


def _with_rare(
    identification: Identification,
    found: Found,
    parts: Sequence[RarePart],
    settings: _settings.Identify,
) -> Identification:
    """Elements of blocks that also a full search on the sum of these blocks finds."""
    entries = list(identification.found)
    base = tuple(e for e in found.explanation.elements)
    for part in parts:
        known = {entry.element for entry in entries if entry.rank != "candidate"}
        if part.element in known:
            continue
        search = replace(found.search, counts=part.spectrum, base=base, excluded=set())
        ratio = _ratio_in_part(search, part.element, settings.threshold)
        # The best of many blocks: the ratio has to make up for the choice.
        needed = settings.threshold * found.misfit + 2.0 * math.log(part.n_tests)
        if ratio < needed:
            continue
        entries = [entry for entry in entries if entry.element != part.element]
        line, energy = search.library.strongest_line(part.element)
        where = f"{np.count_nonzero(part.blocks)} of {part.blocks.size} blocks of the map"
        counts = search.explain((*base, part.element)).counts[part.element]
        entries.append(
            FoundElement(
                part.element,
                "minor",
                "specimen",
                counts,
                ratio,
                line,
                energy,
                where,
                "only in a part of the map",
            )
        )
    entries.sort(key=lambda entry: (entry.rank == "candidate", -entry.likelihood_ratio))
    return Identification(tuple(entries), identification.deviance_per_bin)


def _ratio_in_part(search: Search, element: str, threshold: float) -> float:
    """Likelihood ratio of an element in a part, where others may explain it as well; 0 if not."""
    without = search.explain(search.base)
    grown = search.swap(search.grow(without, threshold))
    if element not in grown.elements or search.missing_families(grown, element):
        return 0.0
    return search.without(grown, element).objective - grown.objective
