# SPDX-License-Identifier: GPL-3.0-or-later
"""The low-rank product, and spectra from it."""

import logging
from typing import Any

import xarray as xr

from mlatem import settings as _settings
from mlatem.api.data import SpectrumImageLike, tile_source
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.denoising.scores import reconstruct as reconstruct_counts
from mlatem.model import (
    Basis,
    Dictionary,
)
from mlatem.passes import (
    scores_pass,
    statistics_pass,
)

_logger = logging.getLogger(__name__)


def denoise(
    data: SpectrumImageLike | Any,
    dictionary: Dictionary,
    *,
    settings: _settings.Denoise | None = None,
    **options: Any,
) -> xr.Dataset:
    """Low-rank basis of a spectrum image and the scores of its pixels, in two passes.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
    dictionary : Dictionary
    settings : settings.Denoise, optional
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    lowrank : Dataset
        The basis (see `mlatem.model.Basis`) and `scores` (y, x, axis), in units of the noise's
        standard deviation. The product is kept factored: `mlatem.reconstruct` gives spectra.
    """
    settings = settings or _settings.Denoise()
    source = tile_source(data, dictionary, **options).kept_in_memory()
    statistics = statistics_pass(source)
    basis = low_rank(statistics, dictionary, settings)
    result = basis.to_dataset()
    result.attrs["total_counts"] = float(statistics.total.sum())
    result.attrs["first_channel"] = source.channels.start
    result["scores"] = (("y", "x", "axis"), scores_pass(source, basis))
    result.attrs["decision"] = rank_decision(basis, settings).to_dict()
    _logger.info("denoised %s: rank %d", source.shape, basis.rank)
    return result


def reconstruct(lowrank: xr.Dataset) -> xr.DataArray:
    """Denoised spectra of pixels from the factored product of `denoise`.

    Parameters
    ----------
    lowrank : Dataset
        Of any pixels: select what is needed first, for example `lowrank.isel(y=3, x=5)`.

    Returns
    -------
    counts : DataArray of shape (..., energy), float32
    """
    scores = lowrank["scores"]
    counts = reconstruct_counts(scores.values, Basis.from_dataset(lowrank))
    dims = (*(dim for dim in scores.dims if dim != "axis"), "energy")
    return xr.DataArray(counts, dims=dims, coords={"energy": lowrank["energy"]}, name="counts")
