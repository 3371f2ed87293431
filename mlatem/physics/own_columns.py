# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of phases whose X-rays are absorbed in the phase itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Calibration, Dictionary, Estimate
from mlatem.model.column_parts import ColumnParts
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.physics.mass_thickness import mass_per_count, mass_thickness_of_phases

#: Columns of every phase from coefficients, counts in groups of pixels, and sizes of the groups.
OwnColumns = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]], ColumnParts]
#: What is left of a column beside its sub-shells is kept if it is more than this part of it.
_LEAST_REST = 1e-6


def own_columns(
    dictionary: Dictionary, calibration: Calibration, edxs: settings.Edxs
) -> OwnColumns | None:
    """The columns of every phase as a function of the compositions.

    Parameters
    ----------
    dictionary : Dictionary
        Absorbed in the mean composition of the specimen.
    calibration : Calibration
    edxs : settings.Edxs
        What the dictionary was built with.

    Returns
    -------
    own : callable or None
        From the coefficients of the phases (n_phases, n_columns), their counts in groups of pixels
        (n_regions, n_phases) and the sizes of these groups (n_regions,) to the parts of the columns
        of the phases. Parts whose factor the calibration fitted have their tabulated intensity, and
        the factor is to be fitted again. A column that the physics does not know by its name stays
        that of the dictionary. None where neither the thickness is known, so that there is no
        absorption, nor a factor is to be fitted.

    Raises
    ------
    InputError
        If the dictionary lacks columns of the calibration's elements.

    Notes
    -----
    The calibration found its factors with the absorption in the mean composition, which they partly
    took up: iron that is mostly in a metal loses more of its L lines than the mean lets expect, and
    its L shell looks weaker.
    """
    free = _free_factors(calibration)
    if not calibration.mass_thickness_kg_m2.value > 0 and not free:
        return None
    missing = set(calibration.elements) - set(dictionary.elements)
    if missing:
        raise InputError(
            f"the dictionary has no column of {', '.join(sorted(missing))}, which the calibration "
            "names: build it with mlatem.edxs_dictionary from the same calibration"
        )
    layout = _Layout.of(dictionary, calibration, free, edxs)
    covariance = calibration.line_factor_covariance(free)

    def own(
        coefficient: NDArray[np.float64],
        abundance: NDArray[np.float64],
        n_pixels: NDArray[np.int64],
    ) -> ColumnParts:
        thickness = phase_mass_thickness(
            dictionary,
            coefficient,
            abundance,
            n_pixels,
            calibration,
            from_counts=edxs.thickness_from_counts,
        )
        return ColumnParts(
            np.stack(
                [
                    layout.spectra(phase_composition(dictionary, row), value)
                    for row, value in zip(coefficient, thickness.tolist(), strict=True)
                ]
            ),
            layout.column,
            layout.factor,
            tuple(free),
            covariance,
        )

    return own


def _free_factors(calibration: Calibration) -> list[str]:
    """Factors that are to be fitted again.

    Families that a table of factors names keep what the table says of them.
    """
    table = calibration.factor_table
    named = set() if table is None else {factor.family for factor in table.factors}
    return [
        name
        for name, prior in calibration.line_factor_prior.items()
        if prior > 0 and name.rstrip("12345") not in named
    ]


@dataclass(frozen=True)
class _Layout:
    """Which parts the columns have."""

    dictionary: Dictionary
    calibration: Calibration
    """With the factors that are free at one."""
    edxs: settings.Edxs
    names: tuple[str, ...]
    """Of the parts in a dictionary that is split by sub-shell; "" for the others."""
    mean: NDArray[np.float64]
    """Shape (n_parts, n_energy); in the mean composition."""
    column: NDArray[np.int64]
    factor: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        dictionary: Dictionary,
        calibration: Calibration,
        free: list[str],
        edxs: settings.Edxs,
    ) -> _Layout:
        plain = replace(
            calibration,
            line_factors={
                name: Estimate(1.0, None, "default") if name in free else estimate
                for name, estimate in calibration.line_factors.items()
            },
        )
        split = dictionary_on_axis(dictionary.energy, plain, edxs, split="shell")
        column, factor, names, mean = [], [], [], []
        rest = dictionary.columns.copy()
        for name, kind, element, spectrum in zip(
            split.names, split.kinds, split.elements, split.columns, strict=True
        ):
            key = name.removesuffix(" (system)")
            owner = {"line": element, "system": f"{key.rstrip('12345')} (system)"}.get(kind, name)
            if owner not in dictionary.names:
                continue
            place = dictionary.names.index(owner)
            fitted = calibration.line_factors[key].value if key in free else 1.0
            column.append(place)
            factor.append(free.index(key) if key in free else -1)
            names.append(name)
            mean.append(spectrum)
            rest[place] -= fitted * spectrum
        for place, spectrum in enumerate(np.maximum(rest, 0.0)):
            if (
                place not in column
                or spectrum.sum() > _LEAST_REST * dictionary.columns[place].sum()
            ):
                column.append(place)
                factor.append(-1)
                names.append("")
                mean.append(spectrum)
        return cls(
            dictionary,
            plain,
            edxs,
            tuple(names),
            np.array(mean),
            np.array(column),
            np.array(factor),
        )

    def spectra(
        self, composition: dict[str, float], mass_thickness_kg_m2: float
    ) -> NDArray[np.float64]:
        """The parts in one phase, (n_parts, n_energy)."""
        known = self.calibration.mass_thickness_kg_m2
        if not composition or not known.value > 0:
            return self.mean
        own = dictionary_on_axis(
            self.dictionary.energy,
            replace(
                self.calibration,
                composition=composition,
                mass_thickness_kg_m2=replace(known, value=mass_thickness_kg_m2),
            ),
            self.edxs,
            split="shell",
        )
        found = dict(zip(own.names, own.columns, strict=True))
        return np.array(
            [found.get(name, old) for name, old in zip(self.names, self.mean, strict=True)]
        )


def phase_composition(dictionary: Dictionary, coefficient: NDArray[np.float64]) -> dict[str, float]:
    """Atomic fractions of a phase from its coefficients (n_columns,); empty without any."""
    amounts: dict[str, float] = {}
    for element, amount, quantified in zip(
        dictionary.elements, coefficient.tolist(), dictionary.quantified, strict=True
    ):
        if quantified and amount > 0:
            amounts[element] = amounts.get(element, 0.0) + amount
    total = sum(amounts.values())
    return {element: amount / total for element, amount in amounts.items()}


def phase_mass_thickness(
    dictionary: Dictionary,
    coefficient: NDArray[np.float64],
    abundance: NDArray[np.floating],
    n_pixels: NDArray[np.int64],
    calibration: Calibration,
    *,
    from_counts: bool,
) -> NDArray[np.float64]:
    """Mass thickness of the specimen where each phase is.

    Parameters
    ----------
    dictionary : Dictionary
    coefficient : ndarray of shape (n_phases, n_columns)
    abundance : ndarray of shape (n_places, n_phases)
        Counts of the phases in pixels or in groups of them.
    n_pixels : ndarray of shape (n_places,)
        Pixels of each place.
    calibration : Calibration
        Its mass thickness is the mean of the specimen.
    from_counts : bool
        Thickness in proportion to the mass that the counts tell. If not, the mean thickness; where
        its density was estimated from the mean composition, times the ratio of the phase's density
        and that one, both estimated.

    Returns
    -------
    thickness : ndarray of shape (n_phases,)
        kg/m2.
    """
    mean = calibration.mass_thickness_kg_m2
    if from_counts:
        mass = abundance * mass_per_count(dictionary, coefficient)
        return mean.value * mass_thickness_of_phases(mass, n_pixels)
    thickness = np.full(len(coefficient), mean.value)
    if mean.origin == "default":
        density = density_g_cm3({e: f for e, f in calibration.composition.items() if f > 0})
        for phase, row in enumerate(coefficient):
            composition = phase_composition(dictionary, row)
            if composition:
                thickness[phase] *= density_g_cm3(composition) / density
    return thickness
