# SPDX-License-Identifier: GPL-3.0-or-later
"""The low-rank product of dense spectra, as of EELS."""

import logging
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.api.data import check_options, spectrum_image
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.errors import InputError
from mlatem.io.score_maps import Maps
from mlatem.model import Dictionary, SpectrumImage
from mlatem.passes.dense import DenseSource, dense_scores_pass, dense_statistics_pass
from mlatem.passes.score_maps import smooth_scores

_logger = logging.getLogger(__name__)


def dense_source(
    data: Any, *, gain: float, readout_sigma: float, **options: Any
) -> tuple[DenseSource, NDArray[np.float64]]:
    """Dense spectra of anything that holds them, and their energies; for arrays their numbers.

    Raises
    ------
    InputError
        If the spectra have not three dimensions.
    """
    check_options(options)
    options.pop("progress", None)
    if isinstance(data, xr.DataTree):
        groups = [name for name in ("eels_core", "eels_lowloss") if name in data.children]
        data = data.children[groups[0]].to_dataset() if groups else data
    if isinstance(data, SpectrumImage | xr.Dataset | xr.DataTree):
        image = spectrum_image(data)
        spectra, energy, mask = image.counts, image.energy, image.mask
    else:
        spectra, mask = data if hasattr(data, "ndim") else np.asarray(data), None
        energy = np.arange(float(spectra.shape[-1]))
    if spectra.ndim != 3:
        raise InputError(f"spectra have {spectra.ndim} dimensions, expected 3 (y, x, energy)")
    return DenseSource(spectra, gain, readout_sigma, mask, **options), energy


def dense_product(
    source: DenseSource,
    energy: NDArray[np.float64],
    dictionary: Dictionary | None,
    settings: _settings.Denoise,
    guide: NDArray[np.floating] | None,
    maps: Maps,
) -> xr.Dataset:
    """As the product of counts, with the noise `scale` (y, x) of every pixel among the maps.

    Rank is by the noise edge, in the span of the dictionary where there is one. No half of the
    spectra is held out: they have no photons to be split.
    """
    if settings.method != "low_rank":
        raise InputError(
            f"denoise.method is {settings.method}: dense spectra are denoised by low_rank alone"
        )
    basis = low_rank(dense_statistics_pass(source), dictionary, settings, energy=energy)
    scores = maps.create("scores", (*source.shape, basis.rank), np.float32, compress=False)
    scale = maps.create("scale", source.shape, np.float32, compress=False)
    dense_scores_pass(source, basis, into=scores, scale=scale)
    if settings.spatial != "none":
        smooth_scores(
            scores,
            basis,
            spatial=settings.spatial,
            guide=guide,
            maps=maps,
            threads=source.threads,
            has_unit_noise=True,
        )
    result = basis.to_dataset()
    result.attrs |= {
        "gain": source.gain,
        "readout_sigma": source.readout_sigma,
        "settings": settings.model_dump(),
        "suggestions": [],
        "rare_axes": [],
        "decisions": [rank_decision(basis, settings).to_dict()],
        "verdicts": [],
    }
    _logger.info("denoised %s: rank %d", source.shape, basis.rank)
    return result
