# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed HDF5 data, decompressed on several cores: the HDF5 library uses one."""

from __future__ import annotations

import itertools
import math
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

#: Chunks of a region beyond which the library is faster than a Python loop.
MAX_CHUNKS = 4096
#: Compressed chunks that are held at a time.
_BATCH = 32
_THREADS = min(4, os.cpu_count() or 1)


def read_chunks(dataset: h5py.Dataset, bounds: Sequence[tuple[int, int]]) -> NDArray[Any] | None:
    """A region of a dataset in gzip-compressed chunks, with or without byte shuffle.

    Parameters
    ----------
    dataset : h5py.Dataset
    bounds : sequence of (start, stop)
        Of each axis.

    Returns
    -------
    ndarray or None
        None where the dataset is stored in another way: leave it to the library.

    Raises
    ------
    OSError, RuntimeError
        If a chunk, or the list of chunks, is damaged.
    """
    filters = _filters(dataset)
    if filters is None or any(stop <= start for start, stop in bounds):
        return None
    chunk: tuple[int, ...] = dataset.chunks
    starts = [
        range(start - start % size, stop, size)
        for (start, stop), size in zip(bounds, chunk, strict=True)
    ]
    if math.prod(len(steps) for steps in starts) > MAX_CHUNKS:
        return None
    block = np.full([stop - start for start, stop in bounds], dataset.fillvalue, dataset.dtype)

    def place(origin: tuple[int, ...], raw: bytes) -> None:
        values = _decoded(raw, chunk, dataset.dtype, is_shuffled=h5py.h5z.FILTER_SHUFFLE in filters)
        inside = [
            (max(start, o), min(stop, o + size))
            for (start, stop), o, size in zip(bounds, origin, chunk, strict=True)
        ]
        source = tuple(slice(a - o, b - o) for (a, b), o in zip(inside, origin, strict=True))
        target = tuple(slice(a - s, b - s) for (a, b), (s, _) in zip(inside, bounds, strict=True))
        block[target] = values[source]

    with ThreadPoolExecutor(_THREADS) as pool:
        origins = itertools.product(*starts)
        while batch := tuple(itertools.islice(origins, _BATCH)):
            found = []
            for origin in batch:
                if dataset.id.get_chunk_info_by_coord(origin).size == 0:
                    continue  # never written
                mask, raw = dataset.id.read_direct_chunk(origin)
                if mask:
                    return None
                found.append((origin, raw))
            list(pool.map(lambda job: place(*job), found))
    return block


def _filters(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Filters of a dataset that is stored as `read_chunks` knows it, else None."""
    if dataset.chunks is None or dataset.dtype.kind not in "uif":
        return None
    properties = dataset.id.get_create_plist()
    codes = tuple(properties.get_filter(i)[0] for i in range(properties.get_nfilters()))
    gzip, shuffle = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
    return codes if codes in ((gzip,), (shuffle, gzip)) else None


def _decoded(
    raw: bytes, shape: tuple[int, ...], dtype: np.dtype[Any], *, is_shuffled: bool
) -> NDArray[Any]:
    n_bytes = math.prod(shape) * dtype.itemsize
    try:
        content = zlib.decompressobj().decompress(raw, n_bytes)
    except zlib.error as error:
        raise OSError(f"a compressed chunk is damaged: {error}") from error
    if len(content) != n_bytes:
        raise OSError(f"a compressed chunk holds {len(content)} bytes, expected {n_bytes}")
    if is_shuffled:
        planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
    return np.frombuffer(content, dtype).reshape(shape)
