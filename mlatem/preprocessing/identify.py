# SPDX-License-Identifier: GPL-3.0-or-later
"""Elements of a spectrum, with the energy axis found on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.preprocessing.element_search import Explanation, Search
from mlatem.preprocessing.line_library import AxisSigma, LineLibrary
from mlatem.preprocessing.poisson_fit import checked_spectrum

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """An energy axis and a detector's resolution."""

    offset_kev: float
    gain: float
    """Relative: corrected energy = energy * (1 + gain) + offset."""
    noise_ev: float
    fano: float

    def corrected(self, energy: Array) -> Array:
        """`energy` (keV) with offset and gain applied."""
        return energy * (1.0 + self.gain) + self.offset_kev


#: Builds the library of the window on a corrected axis.
Builder = Callable[[Axis], LineLibrary]

#: What is not known of the axis before the strong lines are looked at.
AXIS_SIGMA = AxisSigma(offset_kev=10e-3, gain=1e-3, noise_ev=8.0, fano=0.01)
_LEAST_NOISE_EV, _LEAST_FANO = 10.0, 0.05
_MOST_AXIS_ROUNDS = 3
#: An axis that moves less than this (keV, at any energy) is found.
_STILL_KEV = 1e-3
#: Least likelihood ratio of the elements that the axis is fitted on.
_STRONG = 100.0
_MOST_EXCLUSIONS = 4
_FINAL_ROUNDS = 5
_MOST_CANDIDATES = 8
#: Photons below this energy take part in no sum peak that is looked for, keV.
_LEAST_SUMMED_KEV = 0.2


@dataclass(frozen=True)
class Found:
    """The elements of one spectrum."""

    search: Search
    explanation: Explanation
    ratios: dict[str, float]
    """Twice the logarithm of the likelihood ratio, of every element of the explanation."""
    candidates: dict[str, float]
    """The same of elements that are not used."""
    axis: Axis
    misfit: float
    """Objective per bin, at least 1: by so much more is asked of a ratio."""


def find_elements(
    counts: Array,
    energy: Array,
    window: slice,
    build: Builder,
    *,
    start: Axis,
    expected: tuple[str, ...] = (),
    options: settings.Identify,
) -> Found:
    """Find the elements of a spectrum.

    Parameters
    ----------
    counts : ndarray of shape (n_energy,)
        On the whole axis.
    energy : ndarray of shape (n_energy,)
        Channel centres as the file has them, keV.
    window : slice
        Channels that are looked at.
    build : callable
        Builds the `LineLibrary` of the window; physics comes in here.
    start : Axis
        Where axis and resolution start.
    expected : tuple of str
        Elements that are in the model from the start: of the instrument, or of a given list.
    options : settings.Identify

    Returns
    -------
    Found

    Raises
    ------
    InputError
        If the spectrum has no counts, NaN or negative values.

    Notes
    -----
    First the strong lines, found by non-negative least squares of all columns, fix the axis and the
    resolution, in rounds of Gauss-Newton steps along four of the directions of `fit_directions`.
    Then elements are added, left out and exchanged by their likelihood ratio, in which everything
    that is not exactly known of the others (`ElementShape.directions`) is free within its sigma.
    Where the best model still misfits, ratios have to be larger by the deviance per bin
    (quasi-likelihood: R. W. M. Wedderburn, Biometrika 61 (1974) 439).
    """
    checked_spectrum(counts[window])
    axis = start
    search = _search(counts, energy, window, build, axis, expected, options)
    strong = search.begin()
    strong = search.thin(search.grow(strong, _STRONG), _STRONG / 2)
    for _ in range(_MOST_AXIS_ROUNDS):
        moved = _stepped(axis, strong)
        search = _search(counts, energy, window, build, moved, expected, options)
        strong = search.explain(strong.elements)
        shift = np.max(np.abs(moved.corrected(energy[window]) - axis.corrected(energy[window])))
        axis = moved
        if shift < _STILL_KEV:
            break
    explanation = _settled(search, strong, options.threshold)
    misfit = max(1.0, explanation.objective / search.counts.size)
    if misfit > 1.0:
        explanation = search.prune(explanation, options.threshold * misfit)
        explanation = search.explain(explanation.elements, explanation, rounds=_FINAL_ROUNDS)
    return Found(
        search=search,
        explanation=explanation,
        ratios=search.ratios(explanation),
        candidates=_candidates(search, explanation, options.candidate_threshold * misfit),
        axis=axis,
        misfit=misfit,
    )


def _search(
    counts: Array,
    energy: Array,
    window: slice,
    build: Builder,
    axis: Axis,
    expected: tuple[str, ...],
    options: settings.Identify,
) -> Search:
    library = build(axis)
    pile_up = library.merged(sum_peaks(counts, axis.corrected(energy))[window])
    base = tuple(e for e in expected if e in library.names)
    return Search(
        counts=library.merged(counts[window].astype(np.float64)),
        library=library,
        base=base,
        model_error=options.model_error,
        extra=pile_up[None] / pile_up.sum() if pile_up.sum() > 0 else None,
    )


def sum_peaks(counts: Array, energy: Array) -> Array:
    """Shape of the coincidences of two photons, on the axis of the counts, any scale.

    Notes
    -----
    The spectrum convolved with itself (P. J. Statham, X-Ray Spectrometry 6 (1977) 94); that of the
    whole axis, so that photons below the window take part.
    """
    photons = np.where(energy > _LEAST_SUMMED_KEV, counts, 0.0)
    from scipy.signal import fftconvolve  # 20 MB that most analyses do not need

    sums = np.maximum(fftconvolve(photons, photons), 0.0)
    step = (energy[-1] - energy[0]) / (energy.size - 1)
    place = (energy - 2.0 * energy[0]) / step
    shape: Array = np.interp(place, np.arange(sums.size), sums, left=0.0, right=0.0)
    return shape


def _stepped(axis: Axis, explanation: Explanation) -> Axis:
    """The axis moved by the deviations of the fit."""
    offset, gain, noise, fano = explanation.fit.deviation[:4].tolist()
    return replace(
        axis,
        offset_kev=axis.offset_kev + offset * AXIS_SIGMA.offset_kev,
        gain=axis.gain + gain * AXIS_SIGMA.gain,
        noise_ev=max(axis.noise_ev + noise * AXIS_SIGMA.noise_ev, _LEAST_NOISE_EV),
        fano=max(axis.fano + fano * AXIS_SIGMA.fano, _LEAST_FANO),
    )


def _settled(search: Search, explanation: Explanation, threshold: float) -> Explanation:
    """Elements that are all needed, none of them better replaced, and with all hard lines."""
    for _ in range(_MOST_EXCLUSIONS):
        explanation = search.prune(search.grow(explanation, threshold), threshold)
        swapped = search.swap(explanation)
        if swapped is not explanation:
            explanation = search.prune(search.grow(swapped, threshold), threshold)
        found = [e for e in explanation.elements if e not in search.base]
        unlikely = [e for e in found if search.missing_families(explanation, e)]
        if not unlikely:
            break
        search.excluded.update(unlikely)
        rest = [e for e in explanation.elements if e not in unlikely]
        explanation = search.explain(rest, explanation)
    return search.explain(explanation.elements, explanation, rounds=_FINAL_ROUNDS)


def _candidates(search: Search, explanation: Explanation, threshold: float) -> dict[str, float]:
    """Elements that nearly suffice, and those whose hard lines are missing."""
    doubted = sorted(search.excluded)
    search.excluded.clear()
    scores = search.scores(explanation)
    limit = np.sqrt(threshold)
    tried = {*doubted, *[e for e, score in scores.items() if score > limit]}
    found = {}
    for element in sorted(tried - set(explanation.elements)):
        more = search.explain((*explanation.elements, element), explanation, rounds=1)
        ratio = explanation.objective - more.objective
        if ratio > threshold:
            found[element] = ratio
    surest = sorted(found, key=lambda e: -found[e])[:_MOST_CANDIDATES]
    return {element: found[element] for element in surest}
