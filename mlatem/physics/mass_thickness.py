# SPDX-License-Identifier: GPL-3.0-or-later
"""Mass thickness of pixels and phases relative to the specimen's mean, from counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Dictionary
from mlatem.physics.atomic import atomic_weight

Array = NDArray[np.float64]

#: Places with less than this share of the mean weighted with mass are holes or vacuum.
_HOLE = 0.1


def mass_per_count(dictionary: Dictionary, coefficient: Array) -> Array:
    """Mass of each phase for one count of its spectrum.

    Parameters
    ----------
    dictionary : Dictionary
    coefficient : ndarray of shape (n_phases, n_columns)
        Of spectra that add up to one: atoms, in the unit of the dictionary's columns.

    Returns
    -------
    mass : ndarray of shape (n_phases,)
        Atoms times their weight in g/mol.
    """
    weight = [
        atomic_weight(element) if quantified else 0.0
        for element, quantified in zip(dictionary.elements, dictionary.quantified, strict=True)
    ]
    mass: Array = coefficient @ np.array(weight)
    return mass


def relative_mass_thickness(mass: Array, n_pixels: NDArray[np.int64]) -> Array:
    """Mass per pixel over its mean in the specimen.

    Parameters
    ----------
    mass : ndarray of shape (n_places,)
        Of pixels or of groups of them.
    n_pixels : ndarray of shape (n_places,)
        Pixels of each place.

    Returns
    -------
    relative : ndarray of shape (n_places,)
        Its mean over pixels is one, holes left out; ones where there is no mass.
    """
    per_pixel = mass / np.maximum(n_pixels, 1)
    if not mass.sum() > 0:
        return np.ones_like(per_pixel)
    weighted = float((mass * per_pixel).sum() / mass.sum())
    inside = per_pixel > _HOLE * weighted
    relative: Array = per_pixel * n_pixels[inside].sum() / mass[inside].sum()
    return relative


def mass_thickness_of_phases(mass: Array, n_pixels: NDArray[np.int64]) -> Array:
    """Mass thickness of the specimen where each phase is, over its mean.

    Parameters
    ----------
    mass : ndarray of shape (n_places, n_phases)
        Of each phase in pixels or in groups of them.
    n_pixels : ndarray of shape (n_places,)
        Pixels of each place.

    Returns
    -------
    relative : ndarray of shape (n_phases,)
        Mean over the mass of the phase; one for a phase without mass.
    """
    relative = relative_mass_thickness(mass.sum(axis=1), n_pixels)
    total = mass.sum(axis=0)
    mean = relative @ mass / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, 1.0)
