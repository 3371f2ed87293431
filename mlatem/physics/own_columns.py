# SPDX-License-Identifier: GPL-3.0-or-later
"""Columns of phases whose X-rays are absorbed in the phase itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlatem import settings
from mlatem.errors import InputError
from mlatem.model import Calibration, Dictionary
from mlatem.physics.atomic import density_g_cm3
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.physics.dictionary_columns import Film
from mlatem.physics.mass_thickness import mass_per_count, mass_thickness_of_phases
from mlatem.physics.mixed_absorption import unmixed_line_factors

#: Columns of every phase from coefficients, counts in groups of pixels, and sizes of the groups.
OwnColumns = Callable[
    [NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]
]


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
        (n_regions, n_phases) and the sizes of these groups (n_regions,) to the columns of the
        phases (n_phases, n_columns, n_energy). A column that the physics does not know by its name
        stays that of the dictionary. None where the thickness is not known: there is no absorption
        then.

    Raises
    ------
    InputError
        If the dictionary lacks columns of the calibration's elements.
    """
    if not calibration.mass_thickness_kg_m2.value > 0:
        return None
    missing = set(calibration.elements) - set(dictionary.elements)
    if missing:
        raise InputError(
            f"the dictionary has no column of {', '.join(sorted(missing))}, which the calibration "
            "names: build it with mlatem.edxs_dictionary from the same calibration"
        )

    places = {
        element: place
        for place, (element, quantified) in enumerate(
            zip(dictionary.elements, dictionary.quantified, strict=True)
        )
        if quantified
    }

    def own(
        coefficient: NDArray[np.float64],
        abundance: NDArray[np.float64],
        n_pixels: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        thickness = phase_mass_thickness(
            dictionary,
            coefficient,
            abundance,
            n_pixels,
            calibration,
            from_counts=edxs.thickness_from_counts,
        )
        films = [
            Film(value, calibration.take_off, phase_composition(dictionary, row))
            for row, value in zip(coefficient, thickness.tolist(), strict=True)
        ]
        atoms = coefficient * abundance.sum(axis=0)[:, None]
        unmixed = replace(
            calibration,
            line_factors=unmixed_line_factors(
                calibration,
                films,
                {element: atoms[:, place] for element, place in places.items()},
                dictionary.energy,
                edxs.detector,
            ),
        )
        return np.stack([_columns(dictionary, film, unmixed, edxs) for film in films])

    return own


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


def _columns(
    dictionary: Dictionary, film: Film, calibration: Calibration, edxs: settings.Edxs
) -> NDArray[np.float64]:
    """Columns of one phase, (n_columns, n_energy)."""
    if not film.composition:
        return dictionary.columns
    own = dictionary_on_axis(
        dictionary.energy,
        replace(
            calibration,
            composition=film.composition,
            mass_thickness_kg_m2=replace(
                calibration.mass_thickness_kg_m2, value=film.mass_thickness_kg_m2
            ),
        ),
        edxs,
    )
    columns = dictionary.columns.copy()
    for place, name in enumerate(dictionary.names):
        if name in own.names:
            columns[place] = own.columns[own.names.index(name)]
    return columns
