# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores to other programs: HyperSpy files, and HyperSpy signals in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from mlatem.errors import InputError, StoreError
from mlatem.io import labels
from mlatem.io.atomic import atomic_path
from mlatem.io.hspy_file import add_signal, hspy_file
from mlatem.io.hspy_record import has_record, record_image, record_survey, write_record
from mlatem.io.hspy_tree import (
    axes_of_image,
    axes_of_survey,
    metadata_of_image,
    metadata_of_survey,
)
from mlatem.io.layout import plan_layout, shard_regions
from mlatem.io.store import load_spectrum_image, open_store
from mlatem.model import SpectrumImage

_logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


def export_hspy(
    store: str | PathLike[str], path: str | PathLike[str], *, progress: Progress | None = None
) -> None:
    """Write the signals of a store as a HyperSpy file, shard by shard, whole or not at all.

    Parameters
    ----------
    store : path-like
    path : path-like
        File ending in .hspy. A file that an earlier export wrote is replaced, no other.
    progress : callable, optional
        Called with the number of finished and of all shards, for each spectrum image.

    Raises
    ------
    InputError
        If `path` does not end in .hspy.
    StoreError
        If there is no complete store, its counts are not those that were converted, or the file
        cannot be written.

    Notes
    -----
    Reading the file gives the same counts, axes, acquisition values with their origins, survey
    images, spectra of detectors and vendor metadata (see `mlatem.io.hspy_record`). Counts of each
    detector and frame, where the store has them, are left out.
    """
    path = Path(path)
    _refuse_other(path)
    tree = open_store(store)
    original = tree[labels.ORIGINAL_METADATA].to_dataset()
    vendor = _vendor_tree(tree)
    with atomic_path(path) as partial, hspy_file(partial) as file:
        write_record(file, original["json"].to_numpy(), tree.attrs["source"])
        for group in _spectrum_groups(tree):
            image = load_spectrum_image(store, group)
            metadata = metadata_of_image(image)
            dtype = np.dtype(image.counts.dtype)
            data = add_signal(file, image.name, dtype, axes_of_image(image), metadata, vendor)
            expected = tree[group]["counts"].attrs["total_counts"]
            _check_total(_write_counts(data, image, progress), expected, f"{store}: {group}")
            record_image(data, image, tree[group].data_vars.get(labels.DETECTOR_SPECTRA))
            vendor = {}
        for survey in _surveys(tree):
            title = str(survey.name or "")
            axes, metadata = axes_of_survey(survey), metadata_of_survey(survey)
            data = add_signal(file, title, survey.dtype, axes, metadata, {})
            data[...] = survey.to_numpy()
            record_survey(data, survey)
    _logger.info("wrote %s: %d bytes", path, path.stat().st_size)


def to_hyperspy(
    data: str | PathLike[str] | xr.DataTree,
    *,
    group: str | None = None,
    lazy: bool = False,
) -> Any:
    """A spectrum image as a HyperSpy signal; needs HyperSpy (`pip install 'mlatem[hyperspy]'`).

    Parameters
    ----------
    data : path-like or DataTree
        A store, or what `mlatem.read` and `mlatem.open` return.
    group : str, optional
        For example "eels_core"; the first spectrum image if not given.
    lazy : bool, optional
        A lazy signal that reads the counts from the store where they are needed. Otherwise they
        are loaded.

    Returns
    -------
    hyperspy.api.signals.Signal1D
        Of the signal type that eXSpy adds (EDSTEMSpectrum, EELSSpectrum) where that is installed,
        with HyperSpy's metadata tree and the vendor's. Where pixels are left out,
        `metadata.MLATEM.navigation_mask` is what its `decomposition` takes under that name.

    Raises
    ------
    InputError
        If HyperSpy is not installed, or there is no such group.
    StoreError
        If there is no complete store.

    Notes
    -----
    eXSpy puts assumed values where a signal has none, for example an elevation of 35 degrees.
    Counts of each detector and frame stay in the store.
    """
    try:
        from hyperspy.api import signals
    except ImportError:
        raise InputError(
            "HyperSpy is not installed: pip install 'mlatem[hyperspy]', or write a file for it "
            "with `mlatem export`"
        ) from None
    tree = data if isinstance(data, xr.DataTree) else open_store(data)
    image = _image_of_tree(tree, group)
    metadata = metadata_of_image(image)
    signal = signals.Signal1D(
        image.counts if lazy else np.asarray(image.counts),
        axes=axes_of_image(image),
        metadata=metadata,
        original_metadata=dict(_vendor_tree(tree)),
    )
    signal = signal.as_lazy() if lazy else signal
    signal.set_signal_type(metadata["Signal"]["signal_type"])
    return signal


def _image_of_tree(tree: xr.DataTree, group: str | None) -> SpectrumImage:
    groups = _spectrum_groups(tree)
    name = group or next(iter(groups), "")
    if name not in groups:
        raise InputError(
            f"no spectrum image {group or ''!r}: there is {', '.join(groups) or 'none'}; name one "
            "of these"
        )
    frame = tree[name].to_dataset()
    return labels.image_from_frame(frame.drop_vars("counts"), frame["counts"].data)


def _spectrum_groups(tree: xr.DataTree) -> list[str]:
    return [
        name
        for name, node in tree.children.items()
        if "counts" in node.data_vars and not labels.is_split(name)
    ]


def _surveys(tree: xr.DataTree) -> Iterator[xr.DataArray]:
    """Survey images under the names that they had in the raw file."""
    for name, node in tree.children.items():
        if name.startswith(labels.SURVEY):
            for _, survey in sorted(node.data_vars.items(), key=_survey_order):
                image = survey.rename(survey.attrs["long_name"])
                image.attrs = {k: v for k, v in survey.attrs.items() if k != "long_name"}
                yield image


def _survey_order(entry: tuple[Any, xr.DataArray]) -> tuple[bool, str, int]:
    """The first image of a grid, then by name and number: files of a folder have no order."""
    name = str(entry[0])
    stem, _, number = name.rpartition("_")
    is_numbered = bool(stem) and number.isdigit()
    return (
        name != labels.SURVEY_VARIABLE,
        stem if is_numbered else name,
        int(number) if is_numbered else 1,
    )


def _vendor_tree(tree: xr.DataTree) -> Mapping[str, Any]:
    vendor = labels.original_metadata(tree[labels.ORIGINAL_METADATA].to_dataset())
    return vendor if isinstance(vendor, Mapping) else {"value": vendor}


def _write_counts(data: h5py.Dataset, image: SpectrumImage, progress: Progress | None) -> float:
    """Write all counts and return their sum."""
    regions = list(shard_regions(image.shape, plan_layout(image.shape)))
    total = 0.0
    for done, region in enumerate(regions, start=1):
        block = np.asarray(image.counts[region])
        data[region] = block
        total += float(block.sum(dtype=np.float64 if block.dtype.kind == "f" else np.uint64))
        if progress is not None:
            progress(done, len(regions))
    return total


def _check_total(written: float, expected: float, label: str) -> None:
    """Counts in must be counts out; sums of float32 agree to rounding only."""
    tolerance = 0.0 if float(expected).is_integer() else 1e-5 * max(abs(expected), 1.0)
    if abs(written - expected) > tolerance:
        raise StoreError(
            f"{label} holds {written:.0f} counts, but {expected:.0f} were converted; convert the "
            "raw file again"
        )


def _refuse_other(path: Path) -> None:
    """Refuse a name that is not HyperSpy's, or a file that somebody else wrote."""
    if path.suffix.lower() != ".hspy":
        raise InputError(f"{path}: expected a name that ends in .hspy, the format that is written")
    if not path.exists():
        return
    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if has_record(file):
                return
    raise StoreError(
        f"{path}: exists and was not written by `mlatem export`, so it is not replaced; choose "
        "another name"
    )
