# SPDX-License-Identifier: GPL-3.0-or-later
"""What the functions take: labelled data, records or arrays."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.io.labels import image_from_frame
from mlatem.model import (
    Dictionary,
    Factorization,
    SpectrumImage,
)
from mlatem.model.spectrum_image import check_mask
from mlatem.passes import (
    TileSource,
)

#: A calibrated axis lies no further than this from the file's: channels, and share of the energy.
_CALIBRATION_CHANNELS = 20.0
_CALIBRATION_SHARE = 0.01
#: Keywords that every function with a pass over the counts takes.
_OPTIONS = ("tile_shape", "threads", "progress")
#: What the functions take as spectrum image: a Dataset with `counts`, a tree with the group `edxs`,
#: or the record. `factorize` and `denoise` also take an array (ny, nx, n_energy).
SpectrumImageLike = SpectrumImage | xr.Dataset | xr.DataTree


def spectrum_image(data: SpectrumImageLike) -> SpectrumImage:
    """The record of a labelled spectrum image.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
        A dataset as in the group `edxs` of what `mlatem.read` and `mlatem.open` return, or the
        whole tree. One of your own needs `counts` and the coordinates y and x in nm and energy in
        keV; its attributes may be missing. A single spectrum, `counts` (energy), becomes a map
        of one pixel.

    Raises
    ------
    InputError
        If there is no such group, the dataset has no `counts` or not all coordinates, or it is
        something else.
    """
    if isinstance(data, SpectrumImage):
        return data
    _refuse_path(data)
    if isinstance(data, xr.DataTree):
        data = data.children.get("edxs", data).to_dataset()
    if not isinstance(data, xr.Dataset):
        raise InputError(
            f"the spectrum image is a {type(data).__name__}: give what mlatem.read or mlatem.open "
            "return, or a Dataset of counts with y and x in nm and energy in keV"
        )
    if "counts" not in data:
        raise InputError(
            f"no variable 'counts' among {list(data)}: give the group of a spectrum image, for "
            'example tree["edxs"]'
        )
    technique = data.attrs.get("technique", "eels" if "energy_loss" in data.coords else "edxs")
    dims = ("y", "x", "energy" if technique == "edxs" else "energy_loss")
    if data["counts"].dims == dims[2:]:
        alone = data.drop_vars(["y", "x"], errors="ignore")
        data = alone.assign(counts=alone["counts"].expand_dims(y=[0.0], x=[0.0]))
    missing = [dim for dim in dims if dim not in data.coords]
    if missing or set(data["counts"].dims) != set(dims):
        raise InputError(
            f"counts have dimensions {data['counts'].dims} and the dataset the coordinates "
            f"{list(data.coords)}: expected {dims} as both, y and x in nm, energies in keV for "
            "EDXS, in eV for EELS"
        )
    frame = data.drop_vars("counts").assign_attrs(
        {"acquisition": {}, "name": "", "details": {}, **data.attrs, "technique": technique}
    )
    return image_from_frame(frame, data["counts"].transpose(*dims).data)


def is_eels(data: Any) -> bool:
    """Whether labelled data hold energy losses."""
    if isinstance(data, SpectrumImage):
        return data.technique == "eels"
    return isinstance(data, xr.Dataset) and (
        data.attrs.get("technique") == "eels" or "energy_loss" in data.coords
    )


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse a keyword that no pass over the counts takes.

    Raises
    ------
    InputError
        Naming the keyword.
    """
    unknown = ", ".join(repr(name) for name in options if name not in _OPTIONS)
    if unknown:
        raise InputError(
            f"{unknown} is no keyword of this function: check its spelling; besides those that its "
            f"help lists it takes {', '.join(_OPTIONS)}"
        )


def tile_source(
    data: SpectrumImageLike | Any, dictionary: Dictionary, **options: Any
) -> TileSource:
    """The counts of anything that holds them, and the part that the dictionary describes."""
    check_options(options)
    if not isinstance(dictionary, Dictionary):
        raise InputError(
            f"dictionary is a {type(dictionary).__name__}: give one from mlatem.edxs_dictionary, "
            "or of columns of your own from mlatem.Dictionary.from_arrays"
        )
    _refuse_path(data)
    if not isinstance(data, SpectrumImage | xr.Dataset | xr.DataTree):
        counts = data if hasattr(data, "ndim") else _as_array(data)
        if np.ma.is_masked(counts):
            options["mask"] = _masked_pixels(np.ma.getmaskarray(counts))
            counts = np.ma.getdata(counts)
        return TileSource.for_dictionary(counts, dictionary, **options)
    image = spectrum_image(data)
    label = image.name or "counts"
    options["mask"] = image.mask
    source = TileSource.for_dictionary(image.counts, dictionary, label=label, **options)
    _check_energy(image.energy[source.channels], dictionary.energy, label)
    return source


def _refuse_path(data: Any) -> None:
    if isinstance(data, str | PathLike):
        raise InputError(f"{data} is a path: give the counts, as mlatem.read or mlatem.open do")


def _masked_pixels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of which a masked array leaves out all channels."""
    pixels = np.asarray(mask.all(axis=-1))
    n_alone = int(np.count_nonzero(mask)) - int(np.count_nonzero(pixels)) * mask.shape[-1]
    if n_alone:
        raise InputError(
            f"{n_alone} values of the counts are masked in pixels of which others are not: mask "
            "whole pixels, and cut off channels"
        )
    if mask.ndim == 3:
        check_mask(pixels, mask.shape[:2], "counts")
    return pixels


def _as_array(data: Any) -> NDArray[Any]:
    try:
        return np.asarray(data)
    except ValueError as error:
        raise InputError(f"counts are not an array of shape (y, x, energy): {error}") from error


def _check_energy(
    energy: NDArray[np.float64], of_dictionary: NDArray[np.float64], label: str
) -> None:
    """Refuse a dictionary that was made for another axis than a calibration could move."""
    off = np.abs(energy - of_dictionary)
    channel = int(np.argmax(off - _CALIBRATION_SHARE * np.abs(energy)))
    width = float(np.abs(np.diff(energy)).max(initial=0.0))
    if off[channel] > _CALIBRATION_CHANNELS * width + _CALIBRATION_SHARE * abs(energy[channel]):
        raise InputError(
            f"{label}: channel {channel} lies at {energy[channel]:g} and the dictionary's at "
            f"{of_dictionary[channel]:g}: build the dictionary on the energies of the counts"
        )


def factorization_record(factorization: xr.Dataset | Factorization) -> Factorization:
    """The record of a factorisation, whichever way it comes.

    Raises
    ------
    InputError
        If it is none.
    """
    if isinstance(factorization, Factorization):
        return factorization
    if not isinstance(factorization, xr.Dataset):
        raise InputError(
            f"the factorisation is a {type(factorization).__name__}: give what mlatem.factorize "
            "returns"
        )
    return Factorization.from_dataset(factorization)


def positions_nm(
    data: SpectrumImageLike | Any, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions of rows and columns in nm; their numbers for an array, which has none."""
    if isinstance(data, SpectrumImage | xr.Dataset | xr.DataTree):
        image = spectrum_image(data)
        return image.y_nm, image.x_nm
    return np.arange(shape[0], dtype=float), np.arange(shape[1], dtype=float)


def on_grid(
    image: xr.DataArray | NDArray[np.floating],
    data: SpectrumImageLike | Any,
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """An image on the pixels of a map, shape (ny, nx); beyond its ends as at the nearest.

    Raises
    ------
    InputError
        If an array has another shape, an image no positions or no area in common with the map, or
        values are not finite.
    """
    if not isinstance(image, xr.DataArray):
        values = np.asarray(image, dtype=np.float32)
        if values.shape != shape:
            raise InputError(
                f"the guide has shape {values.shape}, but the map {shape}: give an image with y "
                "and x in nm, or on the pixels of the map"
            )
    else:
        values = _sampled(image, *positions_nm(data, shape))
    if not np.all(np.isfinite(values)):
        raise InputError("the guide holds NaN or infinite values: replace them")
    return values


def _sampled(
    image: xr.DataArray, y_nm: NDArray[np.float64], x_nm: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Means over the pixels of a map; the nearest value where the image has larger ones."""
    if set(image.dims) != {"y", "x"} or not {"y", "x"} <= set(image.coords):
        raise InputError(
            f"the guide has dimensions {image.dims}, expected y and x, with positions in nm"
        )
    values = image.transpose("y", "x").to_numpy().astype(np.float64)
    for axis, (name, wanted) in enumerate((("y", y_nm), ("x", x_nm))):
        given = image[name].to_numpy().astype(np.float64)
        if given[-1] < wanted[0] or given[0] > wanted[-1]:
            raise InputError(f"the guide ends before the map begins along {name}: check its scale")
        step = (wanted[1] - wanted[0]) if wanted.size > 1 else np.inf
        edges = np.concatenate([wanted - step / 2, [wanted[-1] + step / 2]])
        first, last = np.searchsorted(given, edges[:-1]), np.searchsorted(given, edges[1:])
        nearest = np.abs(given[:, None] - wanted).argmin(axis=0)
        first, last = (
            np.where(first < last, first, nearest),
            np.where(first < last, last, nearest + 1),
        )
        summed = np.insert(np.cumsum(values, axis=axis), 0, 0.0, axis=axis)
        sizes = (last - first).reshape((-1, 1) if axis == 0 else (1, -1))
        values = (np.take(summed, last, axis) - np.take(summed, first, axis)) / sizes
    return values.astype(np.float32)
