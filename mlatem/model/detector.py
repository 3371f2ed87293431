# SPDX-License-Identifier: GPL-3.0-or-later
"""A detector that its user describes: layers on its way, or its efficiency."""

from __future__ import annotations

from dataclasses import dataclass

from mlatem import settings


@dataclass(frozen=True)
class Layer:
    """A layer of one material that photons pass on their way into the detector."""

    material: str
    """Formula without brackets, "Si3N4"."""
    thickness_nm: float
    density_g_cm3: float
    open_area: float = 0.0
    """Share of the area that the layer leaves free: 0 for a foil, 0.77 for the grid of a window."""


@dataclass(frozen=True)
class EfficiencyTable:
    """Efficiency at given energies."""

    energy_kev: tuple[float, ...]
    """Increasing."""
    efficiency: tuple[float, ...]
    """As many, between 0 and 1."""


class DescribedDetector(settings.Detector):
    """The settings of a detector with what its `efficiency_file` holds."""

    described: tuple[Layer, ...] | EfficiencyTable
    """Layers in place of window, aluminium and dead layer; or the whole efficiency."""
