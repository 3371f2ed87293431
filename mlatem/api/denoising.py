# SPDX-License-Identifier: GPL-3.0-or-later
"""The low-rank product of a spectrum image."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from mlatem import settings as _settings
from mlatem.api.data import SpectrumImageLike, tile_source
from mlatem.denoising.axis_error import axis_error
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.denoising.rare_axes import RareAxis, with_eigenvalues
from mlatem.denoising.residuals import LineGroups, Suggestion, suggest
from mlatem.denoising.smoothing import smooth_scores
from mlatem.denoising.verdicts import (
    held_out_verdict,
    rare_verdict,
    residual_verdict,
    suggestion_words,
)
from mlatem.held_out import METHODS, held_out_check
from mlatem.io.detector_tables import with_detector_file
from mlatem.model import Basis, Calibration, Dictionary, Verdict
from mlatem.passes import scores_pass, statistics_pass
from mlatem.physics.all_elements import ELEMENTS, element_groups
from mlatem.rare_axes import with_rare_axes

_logger = logging.getLogger(__name__)

#: Memory for counts between passes. What does not fit is read anew in each pass.
_KEPT_BYTES = 32 * 2**20


def denoise(
    data: SpectrumImageLike | Any,
    dictionary: Dictionary,
    *,
    calibration: Calibration | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Denoise | None = None,
    **options: Any,
) -> xr.Dataset:
    """Low-rank basis of a spectrum image and the scores of its pixels, in two passes.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
    dictionary : Dictionary
    calibration : Calibration, optional
        From `mlatem.calibrate`. With it, what the dictionary does not explain is compared with the
        lines of all elements.
    edxs : settings.Edxs, optional
        What the dictionary was built with; used together with `calibration`.
    settings : settings.Denoise, optional
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    lowrank : Dataset
        The basis (see `mlatem.model.Basis`) and `scores` (y, x, axis), in units of the noise's
        standard deviation; where `settings.method` is "low_rank" and they are smoothed, also
        `smoothed_scores` and `guard` (y, x), 1 in pixels that stayed as they were. The product is
        kept factored: `mlatem.reconstruct` gives spectra. Attributes: `decisions`, `verdicts`,
        `suggestions` for the axes outside of the dictionary's span, `rare_axes` for the last axes,
        of elements that only few pixels hold.
    """
    settings = settings or _settings.Denoise()
    source = tile_source(data, dictionary, **options).kept_in_memory(_KEPT_BYTES)
    statistics = statistics_pass(source)
    basis = low_rank(statistics, dictionary, settings)
    total_counts = float(statistics.total.sum())
    del statistics  # the largest of all arrays here
    lines = None if calibration is None else all_lines(dictionary, calibration, edxs)
    decision = rank_decision(basis, settings)
    rare: tuple[RareAxis, ...] = ()
    if settings.rare and settings.rank == "edge":
        basis, rare = with_rare_axes(source, basis, dictionary, lines)
    scores = scores_pass(source, basis)
    basis = with_eigenvalues(basis, scores)
    result = basis.to_dataset()
    result.attrs["total_counts"] = total_counts
    result.attrs["first_channel"] = source.channels.start
    result["scores"] = (("y", "x", "axis"), scores)
    if settings.method == "low_rank" and settings.spatial != "none":
        smoothed = smooth_scores(scores, basis, spatial=settings.spatial)
        result["smoothed_scores"] = (("y", "x", "axis"), smoothed.scores)
        result["guard"] = (("y", "x"), smoothed.guard.astype(np.uint8))
    suggestions = suggest(basis, dictionary, lines)
    verdict, words = _of_suggestions(suggestions, scores, basis, dictionary)
    verdicts = [verdict, rare_verdict(rare)] if settings.rare else [verdict]
    if settings.held_out:
        verdicts.append(
            held_out_verdict(held_out_check(source, dictionary, settings), METHODS, settings)
        )
    result.attrs["settings"] = settings.model_dump()
    result.attrs["suggestions"] = [
        {**asdict(suggestion), "words": text}
        for suggestion, text in zip(suggestions, words, strict=True)
    ]
    result.attrs["rare_axes"] = [asdict(axis) for axis in rare]
    result.attrs["decisions"] = [decision.to_dict()]
    result.attrs["verdicts"] = [verdict.to_dict() for verdict in verdicts]
    _logger.info("denoised %s: rank %d", source.shape, basis.rank)
    return result


def _of_suggestions(
    suggestions: Sequence[Suggestion], scores: Any, basis: Basis, dictionary: Dictionary
) -> tuple[Verdict, list[str]]:
    """The verdict on axes outside of the span, and a caption for each."""
    of_axis = [suggestion.axis for suggestion in suggestions if suggestion.kind == "axis"]
    error = axis_error(scores, basis, dictionary, of_axis) if of_axis else None
    words = [suggestion_words(suggestion, error) for suggestion in suggestions]
    return residual_verdict(suggestions, error), words


def all_lines(
    dictionary: Dictionary, calibration: Calibration, edxs: _settings.Edxs | None
) -> LineGroups:
    """Lines of every element on the axis of a dictionary, as the identification knows them."""
    groups, columns = element_groups(
        dictionary.energy,
        elements=ELEMENTS,
        beam_energy_kev=calibration.beam_energy_kev.value,
        noise_ev=calibration.noise_ev.value,
        fano=calibration.fano.value,
        detector=with_detector_file(edxs).detector,
    )
    return LineGroups(
        tuple(group.element for group in groups), tuple(group.family for group in groups), columns
    )
