# SPDX-License-Identifier: GPL-3.0-or-later
"""Vendor metadata as strict JSON and back, without loss.

What JSON does not have is written as an object with one key that begins with "~": arrays, bytes,
tuples, NaN and infinities.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode(value: Any) -> Any:
    """A JSON-safe form of `value`, from which `decode` makes an equal one.

    NumPy scalars become Python numbers, dates their ISO text, and objects of unknown types their
    `repr`, which does not come back as an object.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): encode(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [encode(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else {"~float": str(value)}
    if value is None or isinstance(value, bool | int | str):
        return value
    return _encode_special(value)


def _encode_special(value: Any) -> Any:
    if isinstance(value, tuple):
        return {"~tuple": [encode(entry) for entry in value]}
    if isinstance(value, bytes | bytearray):
        return {"~bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, np.ndarray):
        return {
            "~array": [encode(entry) for entry in value.ravel().tolist()],
            "dtype": "object" if value.dtype.hasobject else value.dtype.str,
            "shape": list(value.shape),
        }
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return {"~repr": repr(value)}


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, list):
        return [decode(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    for key, restore in _DECODERS.items():
        if key in value:
            return restore(value)
    return {key: decode(entry) for key, entry in value.items()}


_DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "~float": lambda value: float(value["~float"]),
    "~tuple": lambda value: tuple(decode(entry) for entry in value["~tuple"]),
    "~bytes": lambda value: base64.b64decode(value["~bytes"]),
    "~array": lambda value: np.array(decode(value["~array"]), dtype=value["dtype"]).reshape(
        value["shape"]
    ),
    "~repr": lambda value: value["~repr"],
}


def dumps(value: Any) -> str:
    """Strict JSON text of any vendor metadata, which can be written as UTF-8."""
    encoded = encode(value)
    text = json.dumps(encoded, ensure_ascii=False, allow_nan=False)
    # Bytes that are no UTF-8 come from HDF5 as surrogates, for which JSON has an escape.
    is_utf8 = not any("\ud800" <= letter <= "\udfff" for letter in set(text))
    return text if is_utf8 else json.dumps(encoded, allow_nan=False)


def loads(text: str) -> Any:
    """The inverse of `dumps`."""
    return decode(json.loads(text))


def compress(value: Any) -> NDArray[np.uint8]:
    """Zlib-compressed JSON of any vendor metadata, shape (n_bytes,)."""
    return np.frombuffer(zlib.compress(dumps(value).encode("utf-8")), dtype=np.uint8)


def expand(packed: NDArray[np.uint8]) -> Any:
    """The inverse of `compress`."""
    return loads(zlib.decompress(packed.tobytes()).decode("utf-8"))
