# SPDX-License-Identifier: GPL-3.0-or-later
"""By which method a dataset is quantified, and what it lacks for the one that was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlatem.errors import InputError
from mlatem.model import Calibration, FactorTable
from mlatem.model.factor_table import FactorKind
from mlatem.settings import Quantify

#: Names of the methods in the table of phases.
_NAMES = {
    "absolute": "absolute",
    "zeta": "zeta",
    "cross_section": "cross-section",
    "cliff_lorimer": "Cliff-Lorimer",
}

#: Ends the name of a method that could give ratios only.
RATIOS_ONLY = "ratios only"

#: Kinds of factors that a method uses; absolute takes what the table prefers.
_KINDS: dict[str, FactorKind] = {
    "cliff_lorimer": "k",
    "zeta": "zeta",
    "cross_section": "cross_section",
}


@dataclass(frozen=True)
class Method:
    """How amounts are told."""

    name: str
    """As written into the table, for example "zeta", "absolute: ratios only, no beam current"."""
    counts_per_atom_barn: float | None
    """Counts per pixel for one atom per barn of area and a column of one barn; None for ratios."""
    scale_sigma: float = 0.0
    """Relative standard deviation of it, where it is known."""


def method_of(
    settings: Quantify,
    calibration: Calibration | None,
    *,
    solid_angle_sr: float | None,
    solid_angle_sigma: float = 0.0,
) -> Method:
    """The method for one dataset.

    Parameters
    ----------
    settings : settings.Quantify
    calibration : Calibration or None
        Its dose and factor table.
    solid_angle_sr : float or None
        Of the detector, or that which absolute factors imply.
    solid_angle_sigma : float, optional
        Relative standard deviation.

    Returns
    -------
    Method
        For ratios only where the dose or the solid angle is not known; its name says so.

    Raises
    ------
    InputError
        If the factor table has no factors of the kind that the method needs.
    """
    table = None if calibration is None else calibration.factor_table
    _check_kinds(settings, table)
    name = _NAMES[settings.method]
    if settings.method == "cliff_lorimer":
        return Method(name, None)
    dose = None if calibration is None else calibration.electrons_per_pixel
    missing = []
    if dose is None:
        missing.append("dose")
    if solid_angle_sr is None:
        missing.append("solid angle")
    if dose is None or solid_angle_sr is None:
        return Method(f"{name}: {RATIOS_ONLY}, {' and '.join(missing)} not known", None)
    return Method(name, dose.value * solid_angle_sr / (4 * math.pi), solid_angle_sigma)


def _check_kinds(settings: Quantify, table: FactorTable | None) -> None:
    kind = _KINDS.get(settings.method)
    if kind is None or table is None:
        return
    absolute = [k for k in table.kinds if k != "k"]
    has = "k" in table.kinds if kind == "k" else bool(absolute)
    if not has or (kind == "k" and absolute):
        used = table.kinds[0]
        raise InputError(
            f"quantify.method is {settings.method}, but the factors that {table.name} gives to "
            f"this dataset are of kind {used}: set quantify.method to "
            f"{'cliff_lorimer' if used == 'k' else used} or absolute, or keep rows of one kind"
        )
