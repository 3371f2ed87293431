# SPDX-License-Identifier: GPL-3.0-or-later
"""The low-rank product of a spectrum image."""

import logging
from dataclasses import asdict
from functools import partial
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.api.data import SpectrumImageLike, is_eels, on_grid, tile_source
from mlatem.api.dense import dense_product, dense_source
from mlatem.denoising.axis_error import axis_error
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.denoising.rare_axes import RareAxis, with_eigenvalues
from mlatem.denoising.residuals import LineGroups, suggest
from mlatem.denoising.verdicts import (
    held_out_verdict,
    rare_verdict,
    residual_verdict,
    suggestion_words,
)
from mlatem.errors import InputError
from mlatem.io.detector_tables import with_detector_file
from mlatem.io.score_maps import Maps, open_maps, stored_maps
from mlatem.model import Calibration, Dictionary
from mlatem.passes import TileSource, scores_pass, statistics_pass
from mlatem.passes.held_out import METHODS, Parts, held_out_check
from mlatem.passes.rare_axes import with_rare_axes
from mlatem.passes.score_maps import score_moment, smooth_scores
from mlatem.physics.all_elements import ELEMENTS, element_groups

_logger = logging.getLogger(__name__)

#: Memory for counts between passes. What does not fit is read anew in each pass.
_KEPT_BYTES = 32 * 2**20


def denoise(
    data: SpectrumImageLike | Any,
    dictionary: Dictionary | None = None,
    *,
    calibration: Calibration | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Denoise | None = None,
    gain: float | None = None,
    readout_sigma: float = 0.0,
    guide: xr.DataArray | NDArray[np.floating] | None = None,
    parts: xr.DataArray | None = None,
    path: str | PathLike[str] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Low-rank basis of a spectrum image and the scores of its pixels, in two passes.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
    dictionary : Dictionary
        May be missing for dense spectra.
    calibration : Calibration, optional
        From `mlatem.calibrate`. With it, what the dictionary does not explain is compared with the
        lines of all elements.
    edxs : settings.Edxs, optional
        What the dictionary was built with; used together with `calibration`.
    settings : settings.Denoise, optional
    gain : float, optional
        For dense spectra, as of EELS, whose variance is gain * y + readout_sigma^2: variance of a
        voxel over its expectation, without the readout. Not given for counts.
    readout_sigma : float, optional
        Standard deviation of the readout noise, in the unit of the spectra.
    guide : DataArray (y, x) in nm, or array of shape (ny, nx), optional
        An image of the area, as of the annular detector, that tells where score maps may change;
        nothing of it enters them.
    parts : DataArray (frame or detector, y, x, energy), optional
        Counts of each frame or detector, of which one half is held against the other; taken from a
        tree that has them. Without them photons are split at random.
    path : path-like, optional
        Zarr folder to write, whole or not at all. Score maps are then never in memory as a whole,
        and the dataset that is returned reads them where they are looked at.
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
        of elements that only few pixels hold. Of dense spectra also `scale` (y, x), which turns
        scores into spectra, and no check on halves and search in few pixels, which split photons.

    Raises
    ------
    InputError
        If data, dictionary or guide do not fit each other, or the gain of EELS spectra is missing.
    """
    settings = settings or _settings.Denoise()
    if gain is None:
        if dictionary is None or is_eels(data):
            raise InputError(
                "spectra without dictionary or of EELS are denoised by their gain: give gain, and "
                "readout_sigma; counts of X-rays need a dictionary, from mlatem.edxs_dictionary"
            )
        source = tile_source(data, dictionary, **options).kept_in_memory(_KEPT_BYTES)
        image = None if guide is None else on_grid(guide, data, source.shape)
        lines = None if calibration is None else all_lines(dictionary, calibration, edxs)
        halves = _parts_of(data) if parts is None else _as_parts(parts)
        make = partial(_product, source, dictionary, lines, settings, image, halves)
    else:
        dense, energy = dense_source(data, gain=gain, readout_sigma=readout_sigma, **options)
        image = None if guide is None else on_grid(guide, data, dense.shape)
        make = partial(dense_product, dense, energy, dictionary, settings, image)
    if path is None:
        maps: dict[str, Any] = {}
        result = make(Maps(maps))
        return result.assign(
            {name: (("y", "x", "axis")[: values.ndim], values) for name, values in maps.items()}
        )
    with stored_maps(path) as stored:
        stored.finish(make(stored))
    return open_maps(path)


def _product(
    source: TileSource,
    dictionary: Dictionary,
    lines: LineGroups | None,
    settings: _settings.Denoise,
    guide: NDArray[np.floating] | None,
    parts: Parts | None,
    maps: Maps,
) -> xr.Dataset:
    """The basis and what is said of it; score maps are made in `maps`."""
    statistics = statistics_pass(source)
    basis = low_rank(statistics, dictionary, settings)
    total_counts = float(statistics.total.sum())
    del statistics  # the largest of all arrays here
    decision = rank_decision(basis, settings)
    rare: tuple[RareAxis, ...] = ()
    if settings.rare and settings.rank == "edge":
        basis, rare = with_rare_axes(source, basis, dictionary, lines)
    scores = maps.create("scores", (*source.shape, basis.rank), np.float32, compress=False)
    scores = scores_pass(source, basis, into=scores)
    n_pixels, moment = score_moment(scores)
    basis = with_eigenvalues(basis, n_pixels, moment)
    if settings.method == "low_rank" and settings.spatial != "none":
        smooth_scores(
            scores,
            basis,
            spatial=settings.spatial,
            guide=guide,
            maps=maps,
            threads=source.threads,
        )
    suggestions = suggest(basis, dictionary, lines)
    of_axis = [suggestion.axis for suggestion in suggestions if suggestion.kind == "axis"]
    error = axis_error(n_pixels, moment, basis, dictionary, of_axis) if of_axis else None
    verdicts = [residual_verdict(suggestions, error)]
    if settings.rare:
        verdicts.append(rare_verdict(rare))
    if settings.held_out:
        held = held_out_check(source, dictionary, settings, guide=guide, maps=maps, parts=parts)
        verdicts.append(held_out_verdict(held.sums, METHODS, settings, held.halves))
    result = basis.to_dataset()
    result.attrs |= {
        "total_counts": total_counts,
        "first_channel": source.channels.start,
        "settings": settings.model_dump(),
        "suggestions": [
            {**asdict(suggestion), "words": suggestion_words(suggestion, error)}
            for suggestion in suggestions
        ],
        "rare_axes": [asdict(axis) for axis in rare],
        "decisions": [decision.to_dict()],
        "verdicts": [verdict.to_dict() for verdict in verdicts],
    }
    _logger.info("denoised %s: rank %d", source.shape, basis.rank)
    return result


def _parts_of(data: Any) -> Parts | None:
    """Counts by frame, or else by detector, that a tree holds."""
    if isinstance(data, xr.DataTree):
        for group in ("edxs_frames", "edxs_detectors"):
            if group in data.children:
                return _as_parts(data.children[group].to_dataset()["counts"])
    return None


def _as_parts(parts: xr.DataArray) -> Parts:
    axis = str(parts.dims[0])
    if axis not in ("frame", "detector") or parts.ndim != 4:
        raise InputError(
            f"parts have dimensions {parts.dims}, expected (frame or detector, y, x, energy)"
        )
    labels = parts[axis].values if axis in parts.coords else np.arange(1, parts.shape[0] + 1)
    return Parts(parts.data, axis, tuple(str(label) for label in labels))


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
