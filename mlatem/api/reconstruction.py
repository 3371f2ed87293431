# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra and maps from the factored product of `denoise`, computed where they are looked at."""

from typing import Any

import numpy as np
import xarray as xr

from mlatem.errors import InputError
from mlatem.model import SpectrumImage

_TILE = {"y": 64, "x": 64}


def reconstruct(
    lowrank: xr.Dataset,
    data: SpectrumImage | xr.Dataset | xr.DataTree | Any = None,
    *,
    smoothed: bool | None = None,
) -> xr.DataArray:
    """Denoised counts of any pixels and channels, lazily.

    Parameters
    ----------
    lowrank : Dataset
        From `denoise`, or what is selected of it, for example `lowrank.isel(y=3, x=5)` for a
        spectrum, `lowrank.sel(energy=slice(6.3, 6.5))` for maps.
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy), optional
        The spectrum image itself, where `denoise` was to leave the counts as they are (method
        "none") or to add up neighbours ("binning"): the product holds no counts.
    smoothed : bool, optional
        Whether the score maps are smoothed; by default where the product holds smoothed ones.

    Returns
    -------
    counts : DataArray of shape (..., energy), float32
        Expected counts, Dask-backed; `.compute()` or a plot computes the tiles of what was
        selected, all channels of each: select energies of `lowrank` beforehand. Noise of
        the scores can make small values negative. 0 in channels in which the map has no counts,
        NaN in masked pixels. For "none" and "binning" whole numbers, which are Poisson counts;
        masked pixels add nothing to them.

    Raises
    ------
    InputError
        If the product has no smoothed scores, or the counts are needed and not given.
    """
    settings = lowrank.attrs.get("settings", {"method": "low_rank"})
    if settings["method"] != "low_rank" and smoothed is None:
        if data is None:
            raise InputError(
                f"denoise.method is {settings['method']}: the product holds no counts; give the "
                'spectrum image too, mlatem.reconstruct(lowrank, mlatem.open("spim.zarr"))'
            )
        n_pixels = settings["bin_px"] if settings["method"] == "binning" else 1
        n_channels = settings["bin_channels"] if settings["method"] == "binning" else 1
        return _binned(_counts_of(data, lowrank), n_pixels, n_channels)
    if smoothed is None:
        smoothed = "smoothed_scores" in lowrank
    name = "smoothed_scores" if smoothed else "scores"
    if name not in lowrank:
        raise InputError(
            f"the product has no {name}, only {', '.join(map(str, lowrank.data_vars))}: give "
            "smoothed=False, or run denoise with method low_rank and a spatial smoothing"
        )
    return _from_scores(lowrank, name)


def _from_scores(lowrank: xr.Dataset, name: str) -> xr.DataArray:
    scores = lowrank[name]
    scores = scores.chunk({dim: size for dim, size in _TILE.items() if dim in scores.dims})
    spectra = (lowrank["axes"] / lowrank["weights"]).where(lowrank["weights"] > 0, 0.0)
    if "scale" in lowrank:
        root = lowrank["scale"]
    else:
        root = xr.dot(scores, lowrank["root_per_score"], dim="axis")
    counts: xr.DataArray = (root * xr.dot(scores, spectra, dim="axis")).astype(np.float32)
    dims = [dim for dim in ("y", "x", "energy") if dim in counts.dims]
    return counts.transpose(*dims).rename("counts")


def _counts_of(data: Any, lowrank: xr.Dataset) -> xr.DataArray:
    """The counts in the window of the product, 0 in masked pixels."""
    if isinstance(data, xr.DataTree):
        data = data.children.get("edxs", data).to_dataset()
    first = int(lowrank.attrs["first_channel"])
    window = slice(first, first + lowrank.sizes["energy"])
    if not isinstance(data, xr.Dataset):
        mask = data.mask if isinstance(data, SpectrumImage) else None
        values = np.asarray(data.counts if isinstance(data, SpectrumImage) else data)
        if mask is not None:
            values = np.where(mask[..., None], 0, values)
        counts = xr.DataArray(values, dims=("y", "x", "energy"))
        if counts.sizes["energy"] == lowrank.sizes["energy"]:
            window = slice(None)
        return counts.isel(energy=window).assign_coords(energy=lowrank["energy"].values)
    counts = data["counts"].transpose("y", "x", "energy").isel(energy=window)
    return counts.where(~data["mask"].astype(bool), 0) if "mask" in data else counts


def _binned(counts: xr.DataArray, n_pixels: int, n_channels: int) -> xr.DataArray:
    """Sums over blocks; what is left at the ends is cut off."""
    if n_pixels == n_channels == 1:
        return counts.rename("counts")
    blocks = {"y": n_pixels, "x": n_pixels, "energy": n_channels}
    in_blocks: Any = counts.coarsen(blocks, boundary="trim")
    binned: xr.DataArray = in_blocks.sum().rename("counts")
    return binned
