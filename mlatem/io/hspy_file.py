# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing of HyperSpy files (.hspy): HDF5 in the layout that HyperSpy and its readers know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

_FORMAT_VERSION = "3.3"

#: Pixels along each side of a chunk: a chunk of 2048 one-byte channels holds half a megabyte.
_CHUNK = 16

_TEXT = h5py.string_dtype()


@contextmanager
def hspy_file(path: Path) -> Iterator[h5py.File]:
    """A new HyperSpy file without signals, closed when the block ends."""
    # From version 1.10 on HDF5 takes attributes of more than 64 kB, as vendors' metadata have them.
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file.attrs.update(file_format="HyperSpy", file_format_version=_FORMAT_VERSION)
        file.create_group("Experiments", track_order=True)
        yield file


def axis(
    name: str,
    values: NDArray[np.floating[Any]],
    units: str,
    *,
    is_spectral: bool,
    is_navigation: bool,
) -> dict[str, Any]:
    """HyperSpy's description of an evenly spaced axis.

    Parameters
    ----------
    name : str
    values : ndarray of shape (size,)
        Increasing positions, in `units`.
    units : str
    is_spectral : bool
        Whether its positions are channels, over which counts are summed.
    is_navigation : bool
        Whether one moves along it from signal to signal, as along y and x of a map.
    """
    n_steps = values.size - 1
    return {
        "_type": "UniformDataAxis",
        "name": name,
        "units": units,
        "scale": float(values[-1] - values[0]) / n_steps if n_steps else 1.0,
        "offset": float(values[0]),
        "size": int(values.size),
        "navigate": is_navigation,
        "is_binned": is_spectral,
    }


def add_signal(
    file: h5py.File,
    title: str,
    dtype: np.dtype[Any],
    axes: Sequence[Mapping[str, Any]],
    metadata: Mapping[str, Any],
    original_metadata: Mapping[str, Any],
) -> h5py.Dataset:
    """Add a signal whose data are still to be written.

    Parameters
    ----------
    file : h5py.File
        From `hspy_file`.
    title : str
        Names its group, with a number where there is one of this name.
    dtype : numpy.dtype
    axes : sequence of mapping
        From `axis`, in the order of the data.
    metadata, original_metadata : mapping
        HyperSpy's tree and the vendor's.

    Returns
    -------
    data : h5py.Dataset
        Of the shape of the axes; zeros. Blocks of whole chunks are written fastest.
    """
    group = file["Experiments"].create_group(_free_name(file["Experiments"], title))
    for index, entry in enumerate(axes):
        group.create_group(f"axis-{index}").attrs.update(entry)
    write_tree(group.create_group("metadata"), metadata)
    write_tree(group.create_group("original_metadata"), original_metadata)
    shape = tuple(entry["size"] for entry in axes)
    # A chunk keeps whole spectra: the counts are read by tiles of pixels.
    chunks = tuple(min(_CHUNK, n) for n in shape[:2]) + shape[2:] if len(shape) == 3 else shape
    return group.create_dataset(
        "data", shape=shape, dtype=dtype, chunks=chunks, compression="gzip", compression_opts=1,
        shuffle=True,
    )  # fmt: skip


def write_tree(group: h5py.Group, tree: Mapping[str, Any]) -> None:
    """Write nested metadata as HyperSpy does; numbers, texts, lists, tuples and arrays come back.

    Of other types the text is written. HDF5 has no slashes in names and no zeros in texts: they
    become dashes and are left out.
    """
    for key, value in tree.items():
        name = str(key).replace("/", "-").replace("\0", "")
        _write_entry(group, "_" if name in ("", ".") else name, value)


def _write_entry(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, Mapping):
        write_tree(group.require_group(name), value)
    elif isinstance(value, list | tuple):
        _write_sequence(group, name, value)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "biufc" and value.size:
            group.create_dataset(name, data=value, chunks=True)
        else:
            _write_sequence(group, name, value.tolist())
    elif isinstance(value, bytes | bytearray):
        if value:
            group.attrs[f"_bs_{name}"] = np.void(bytes(value))
        else:
            group.attrs[name] = ""
    else:
        group.attrs[name] = _attribute(value)


def _attribute(value: Any) -> Any:
    """A form of a single value that an attribute can hold."""
    if value is None:
        return "_None_"
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, bool | float | complex):
        return value
    return value.isoformat() if isinstance(value, date | time) else repr(value)


def _write_sequence(group: h5py.Group, name: str, values: list[Any] | tuple[Any, ...]) -> None:
    kind = "tuple" if isinstance(values, tuple) else "list"
    types = {type(value) for value in values}
    if not values:
        group.attrs[f"_{kind}_empty_{name}"] = "_None_"
    elif types == {str}:
        texts = [value.replace("\0", "") for value in values]
        group.create_dataset(f"_{kind}_{name}", data=np.array(texts, dtype=_TEXT))
    elif len(types) == 1 and types <= {bool, int, float} and _fits(values):
        group.create_dataset(f"_{kind}_{name}", data=np.array(values))
    else:
        # Readers sort by name.
        width = len(str(len(values) - 1))
        entries = {f"{index:0{width}d}": value for index, value in enumerate(values)}
        write_tree(group.create_group(f"_{kind}_{len(values)}_{name}"), entries)


def _fits(values: Sequence[Any]) -> bool:
    return all(not isinstance(v, int) or -(2**63) <= v < 2**63 for v in values)


def _free_name(group: h5py.Group, title: str) -> str:
    stem = title.replace("/", "-").replace("\0", "") or "__unnamed__"
    stem = "_" if stem == "." else stem
    name, number = stem, 2
    while name in group:
        name, number = f"{stem} {number}", number + 1
    return name
