# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of formats that label their axes but leave open which is which (NCEM .emd, NeXus)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mlatem.errors import ReadError
from mlatem.io.formats.common import Signal
from mlatem.io.views import AxisView
from mlatem.units import KEV_PER_UNIT, NM_PER_UNIT

#: Largest deviation of a step from the mean step that still counts as even.
STEP_TOLERANCE = 1e-3

_Y_STARTS, _Y_ENDS = ("y", "row", "height"), ("_y", "scany")
_X_STARTS, _X_ENDS = ("x", "col", "width"), ("_x", "scanx")


def even_axis(positions: ArrayLike, *, name: str, units: str, path: str) -> dict[str, Any]:
    """A linear axis from the positions that a file lists, (n,); a single one has no step.

    Raises
    ------
    ReadError
        If the steps are not even.
    """
    values = np.atleast_1d(np.asarray(positions)).ravel()
    if values.size < 2 or values.dtype.kind not in "iuf":
        offset = float(values[0]) if values.size and values.dtype.kind in "iuf" else 0.0
        return {"name": name, "offset": offset, "scale": 1.0, "units": units}
    numbers = values.astype(float)
    step = (numbers[-1] - numbers[0]) / (numbers.size - 1)
    if not np.all(np.abs(np.diff(numbers) - step) <= STEP_TOLERANCE * abs(step)):
        raise ReadError(
            path,
            f"the positions of axis {name!r} are not evenly spaced",
            "Resample the map on an even grid and export it again",
        )
    return {"name": name, "offset": float(numbers[0]), "scale": float(step), "units": units}


def energy_axis(axes: Sequence[Mapping[str, Any]]) -> int | None:
    """Index of the one axis of energies: by its unit, else its name, else what is no length."""
    by_unit = [i for i, axis in enumerate(axes) if axis["units"] in KEV_PER_UNIT]
    by_name = [i for i, axis in enumerate(axes) if _is_energy_name(axis["name"])]
    no_length = [i for i, axis in enumerate(axes) if axis["units"] not in NM_PER_UNIT]
    for found in (by_unit, by_name, no_length):
        if len(found) == 1:
            return found[0]
    return None


def is_map(signal: Signal) -> bool:
    """Whether a signal has three axes of which one is of energies."""
    return len(signal["axes"]) == 3 and energy_axis(signal["axes"]) is not None


def in_map_order(signal: Signal, *, is_reversed: bool = False) -> dict[str, Any]:
    """A map as (y, x, energy), its technique noted where only the name of an axis tells it.

    Names of axes (x, y, row, width...) decide which is y; without them the order of the file does.

    Parameters
    ----------
    signal : mapping
        A signal for which `is_map` holds.
    is_reversed : bool, optional
        Whether axes without names lie in the order x, y.
    """
    axes = list(signal["axes"])
    energy = energy_axis(axes)
    rows, columns = (i for i in range(3) if i != energy)
    letters = (_letter(axes[rows]["name"]), _letter(axes[columns]["name"]))
    if letters == ("x", "y") or (letters != ("y", "x") and is_reversed):
        rows, columns = columns, rows
    order = (rows, columns, 2 if energy is None else energy)
    data = signal["data"]
    metadata = signal["metadata"]
    if (
        not metadata.get("Signal", {}).get("signal_type")
        and "loss" in str(axes[order[2]]["name"]).lower()
    ):
        metadata = {**metadata, "Signal": {**metadata.get("Signal", {}), "signal_type": "EELS"}}
    return {
        **signal,
        "data": data if order == (0, 1, 2) else AxisView(data, order),
        "axes": [axes[i] for i in order],
        "metadata": metadata,
    }


def refuse_without_map(signals: Sequence[Signal], path: str) -> None:
    """Say what a file holds that has no map.

    Raises
    ------
    ReadError
        Always.
    """
    found = ", ".join(" x ".join(str(n) for n in s["data"].shape) for s in signals)
    raise ReadError(
        path,
        f"holds no spectrum image, only {f'arrays of {found}' if found else 'nothing readable'}",
        "A map has three axes, two of positions and one of energies with the unit eV or keV",
    )


def _is_energy_name(name: str) -> bool:
    return any(word in name.lower() for word in ("energy", "channel", "loss"))


def _letter(name: str) -> str:
    lower = name.lower()
    if lower.startswith(_Y_STARTS) or lower.endswith(_Y_ENDS):
        return "y"
    if lower.startswith(_X_STARTS) or lower.endswith(_X_ENDS):
        return "x"
    return ""
