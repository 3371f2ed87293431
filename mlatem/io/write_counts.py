# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of a spectrum image, and of its detectors and frames, shard by shard into a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from mlatem.errors import StoreError
from mlatem.io import labels
from mlatem.io.counts import CountSummary, check_not_empty, checked_blocks
from mlatem.io.layout import n_shards_of, plan_layout
from mlatem.io.signals import RawSignals, Split
from mlatem.model import SpectrumImage

Progress = Callable[[int, int], None]


def write_counts(
    root: zarr.Group,
    group: str,
    signals: RawSignals,
    image: SpectrumImage,
    progress: Progress | None,
    pixel_totals: NDArray[Any] | None = None,
) -> Any:
    """Write counts as they are checked; again from the start where a later count needs more bits.

    Returns the array, and puts the counts of every pixel into `pixel_totals` (ny, nx) if it is
    given. Most maps have small counts in every part: what the first block needs is
    right for all.
    """
    n_shards = n_shards_of(image.shape)
    array: Any = None
    written, summary = 0, CountSummary()
    for region, block, summary in checked_blocks(signals, image):
        if array is None:
            array = _create_counts(root, group, image, summary.dtype)
        if pixel_totals is not None:
            pixel_totals[region[:2]] = block.sum(axis=2, dtype=pixel_totals.dtype)
        if array.dtype != summary.dtype:
            continue
        array[region] = block
        del block
        written += 1
        if progress is not None:
            progress(written, n_shards)
    check_not_empty(signals, image, summary)
    if array.dtype != summary.dtype:
        array = _create_counts(root, group, image, summary.dtype)
        _rewrite_counts(array, signals, image, summary, progress)
    array.attrs.update(labels.counts_attrs(summary.total))
    return array


def write_split(
    root: zarr.Group,
    split: Split,
    signals: RawSignals,
    image: SpectrumImage,
    whole: Any,
    progress: Progress | None,
) -> None:
    """Write the parts of a map one after the other, each in shards like those of the map.

    Parameters
    ----------
    root : zarr.Group
    split : Split
    signals : RawSignals
    image : SpectrumImage
        The map.
    whole : zarr.Array
        Its counts as they were written; no part needs a larger type.
    progress : callable or None

    Raises
    ------
    StoreError
        If the parts hold another sum of counts than the map.
    """
    names = (split.axis, "y", "x", image.energy_name)
    array = _create_counts(root, split.group, image, whole.dtype, (names, len(split.parts)))
    n_shards = n_shards_of(image.shape) * len(split.parts)
    total, written = 0.0, 0
    for index, part in enumerate(split.images(image)):
        of_part = 0.0
        for region, block, summary in checked_blocks(signals, part):
            of_part = summary.total
            array[(index, *region)] = block.astype(array.dtype, copy=False)
            del block
            written += 1
            if progress is not None:
                progress(written, n_shards)
        total += of_part
    expected = whole.attrs["total_counts"]
    if total != expected:
        raise StoreError(
            f"{signals.path or array.path}: the {len(split.parts)} {split.axis}s hold {total:.0f} "
            f"counts but their sum {expected:.0f}; convert without convert.separate_{split.axis}s"
        )
    array.attrs.update(labels.counts_attrs(total))


def _create_counts(
    root: zarr.Group,
    group: str,
    image: SpectrumImage,
    dtype: np.dtype[Any],
    split: tuple[tuple[str, ...], int] | None = None,
) -> zarr.Array[Any]:
    """An empty array of counts; with `split` of that many parts along a first axis."""
    layout = plan_layout(image.shape)
    names, n_parts = split or (("y", "x", image.energy_name), 0)
    first, of_one = ((n_parts,), (1,)) if split else ((), ())
    return root[group].create_array(  # type: ignore[union-attr]
        "counts",
        shape=(*first, *image.shape),
        dtype=dtype,
        chunks=(*of_one, *layout.chunks),
        shards=(*of_one, *layout.shards),
        compressors=BloscCodec(
            cname="zstd", clevel=1, shuffle="bitshuffle", typesize=dtype.itemsize
        ),
        fill_value=0,
        dimension_names=names,
        overwrite=True,
    )


def _rewrite_counts(
    array: zarr.Array[Any],
    signals: RawSignals,
    image: SpectrumImage,
    summary: CountSummary,
    progress: Progress | None,
) -> None:
    """Write all counts in the type that the first reading found, and see that they are the same."""
    again = CountSummary()
    n_shards = n_shards_of(image.shape)
    for done, (region, block, so_far) in enumerate(checked_blocks(signals, image), start=1):
        array[region] = block.astype(array.dtype, copy=False)
        del block
        again = so_far
        if progress is not None:
            progress(done, n_shards)
    if again != summary:
        raise StoreError(
            f"{signals.path or array.path}: {summary.total:.0f} counts were read but "
            f"{again.total:.0f} were written; the file changed during the conversion: convert it "
            "again"
        )
