# SPDX-License-Identifier: GPL-3.0-or-later
"""Factors measured on a standard: a specimen of known composition."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.calibration.image import calibrate_image
from mlatem.errors import InputError
from mlatem.io.detector_tables import with_detector_file
from mlatem.model import Calibration, Estimate, Factor, FactorTable, SpectrumImage
from mlatem.model.factor_table import UNITS, FactorKind
from mlatem.passes import TileSource, sum_spectrum_pass
from mlatem.physics.atomic import weight_fractions
from mlatem.physics.dictionary import dictionary_on_axis
from mlatem.physics.factor_units import cross_section_barn, detected_cross_section_barn
from mlatem.physics.fitted_families import fitted_scale
from mlatem.preprocessing.poisson_fit import CountsFit, fit_counts

Array = NDArray[np.float64]

_logger = logging.getLogger(__name__)

#: Families of which fewer counts than so many standard deviations are seen give no factor.
_SEEN_SIGMAS = 10.0


def calibrate_factors(
    image: SpectrumImage,
    *,
    composition: Mapping[str, float],
    kind: FactorKind = "k",
    reference: str | None = None,
    system_elements: tuple[str, ...] | None = None,
    acquisition: Mapping[str, float | str | None] | None = None,
    mass_thickness_kg_m2: float | None = None,
    electrons: float | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Calibrate | None = None,
    **options: Any,
) -> FactorTable:
    """Factors of all families of lines that a standard shows.

    Parameters
    ----------
    image : SpectrumImage
        Of the standard; its spectra are summed.
    composition : mapping of str to float
        Atomic fractions (any scale).
    kind : {"k", "zeta", "cross_section"}
    reference : str, optional
        Element and family of k = 1, "Ti K"; that with most counts if not given.
    system_elements : tuple of str, optional
        Elements of the instrument; those of `edxs` that the standard lacks if not given.
    acquisition : mapping, optional
        Values that take precedence over the file's: thickness_nm, density_g_cm3, beam_energy_kev,
        take_off_angle_deg, beam_current_na, live_time_s.
    mass_thickness_kg_m2 : float, optional
        In place of thickness times density.
    electrons : float, optional
        Dose of the whole map, in place of beam current times live time.
    edxs, settings : settings records, optional
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    table : FactorTable
        With statistical standard deviations. The intensities are those of whole families, as the
        detector would see them without absorption in the specimen.

    Raises
    ------
    InputError
        If the composition is not possible, fewer than two families are seen for k, or an absolute
        kind lacks dose or mass thickness.

    Notes
    -----
    Families are fitted freely, with their absorption in the standard's own composition; with the
    intensities I and weight fractions C, ``k = (C_A / C_B) (I_B / I_A)``,
    ``zeta = C rho t N_e / I`` and ``sigma = I / (N_e n)`` (`mlatem.model.Factor`). Without a
    thickness absorption is left out, which is told in the source of every factor.
    """
    edxs = with_detector_file(edxs)
    total = sum(composition.values())
    weights = weight_fractions(composition)
    calibration = calibrate_image(
        image,
        elements=tuple(composition),
        system_elements=system_elements,
        acquisition=acquisition or {},
        edxs=edxs,
        settings=settings or _settings.Calibrate(),
        **options,
    )
    thickness = calibration.mass_thickness_kg_m2
    if mass_thickness_kg_m2 is not None:
        thickness = Estimate(mass_thickness_kg_m2, None, "user")
    calibration = replace(
        calibration,
        composition={element: x / total for element, x in composition.items()},
        mass_thickness_kg_m2=thickness,
    )
    source = TileSource(image.counts, calibration.window, label=image.name or "counts", **options)
    energy = calibration.corrected(image.energy)[calibration.window]
    dictionary = dictionary_on_axis(energy, calibration, edxs, split="family")
    fit = fit_counts(sum_spectrum_pass(source), dictionary.columns)
    families = {
        name: place
        for place, name in enumerate(dictionary.names)
        if dictionary.kinds[place] == "line"
        and fit.coefficient[place] > _SEEN_SIGMAS * fit.sigma[place]
    }
    beam = calibration.beam_energy_kev.value
    barn = {}
    for name in families:
        element, line = name.split()
        computed = detected_cross_section_barn(element, line, beam, edxs.detector)
        barn[name] = computed * fitted_scale(name, beam, edxs.detector, calibration.line_factors)
    label = image.name or "standard"
    if thickness.value == 0:
        label += ", absorption left out"
    _logger.info("standard %s: deviance per dof %.2f", label, fit.deviance_per_dof)
    measured = _Measured(
        families=tuple(families),
        counts=np.array([fit.coefficient[p] * barn[name] for name, p in families.items()]),
        covariance=_covariance(fit, families, barn),
        weights=np.array([weights[name.split()[0]] for name in families]),
        beam_energy_kev=beam,
        source=f"measured on {label}",
    )
    if kind == "k":
        return FactorTable(measured.k_factors(reference), f"factors of {label}")
    if not thickness.value > 0:
        raise InputError(
            f"{kind} is absolute and needs the mass thickness of the standard: give its thickness "
            "and density, or its mass thickness; or ask for k-factors"
        )
    dose = _dose(electrons, calibration, math.prod(image.shape[:2]))
    return FactorTable(measured.absolute(kind, dose, thickness.value), f"factors of {label}")


def _dose(electrons: float | None, calibration: Calibration, n_pixels: int) -> float:
    if electrons is not None:
        if not 0 < electrons < math.inf:
            raise InputError(f"dose is {electrons} electrons: expected a number above 0")
        return electrons
    if calibration.electrons_per_pixel is None:
        raise InputError(
            "the dose of the standard is not known: give beam current and live time, or the dose "
            "in electrons; or ask for k-factors, which need none"
        )
    return calibration.electrons_per_pixel.value * n_pixels


def _covariance(fit: CountsFit, families: Mapping[str, int], barn: Mapping[str, float]) -> Array:
    places = list(families.values())
    scale = np.array([barn[name] for name in families])
    covariance: Array = fit.covariance[np.ix_(places, places)] * np.outer(scale, scale)
    return covariance


@dataclass(frozen=True)
class _Measured:
    """Intensities of the families of a standard, as without absorption."""

    families: tuple[str, ...]
    counts: Array
    """Shape (n_families,); for a detector around the specimen, solid angle left out."""
    covariance: Array
    weights: Array
    """Shape (n_families,); weight fraction of the family's element."""
    beam_energy_kev: float
    source: str

    def k_factors(self, reference: str | None) -> tuple[Factor, ...]:
        """K of every family against the reference."""
        if len(self.families) < 2:
            raise InputError(
                "k-factors relate two lines, but the standard shows "
                f"{', '.join(self.families) or 'none'}: take a compound, or ask for zeta factors"
            )
        name = reference or self.families[int(np.argmax(self.counts))]
        if name not in self.families:
            raise InputError(
                f"the reference {name!r} is not seen on the standard: take one of "
                f"{', '.join(self.families)}"
            )
        place = self.families.index(name)
        value = self.weights / self.weights[place] * self.counts[place] / self.counts
        relative = self.covariance / np.outer(self.counts, self.counts)
        variance = np.diagonal(relative) + relative[place, place] - 2 * relative[place]
        element, line = name.split()
        return tuple(
            self._factor("k", index, float(value[index]), float(variance[index]), (element, line))
            for index in range(len(self.families))
        )

    def absolute(
        self, kind: FactorKind, electrons: float, mass_thickness_kg_m2: float
    ) -> tuple[Factor, ...]:
        """Zeta or cross-section of every family."""
        zeta = self.weights * mass_thickness_kg_m2 * electrons / self.counts
        variance = np.diagonal(self.covariance) / self.counts**2
        rows = []
        for index, family in enumerate(self.families):
            value = float(zeta[index])
            if kind == "cross_section":
                value = cross_section_barn(family.split()[0], value)
            rows.append(self._factor(kind, index, value, float(variance[index])))
        return tuple(rows)

    def _factor(
        self,
        kind: FactorKind,
        index: int,
        value: float,
        relative_variance: float,
        reference: tuple[str, str] = ("", ""),
    ) -> Factor:
        element, line = self.families[index].split()
        return Factor(
            element=element,
            line=line,
            kind=kind,
            value=value,
            sigma=value * math.sqrt(max(relative_variance, 0.0)),
            beam_energy_kev=self.beam_energy_kev,
            unit=UNITS[kind],
            reference_element=reference[0],
            reference_line=reference[1],
            source=self.source,
        )
