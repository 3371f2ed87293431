# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the energy axis, the detector and the specimen before the factorisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem.elements import check_symbols
from mlatem.errors import InputError
from mlatem.model.acquisition import Origin
from mlatem.model.factor_table import FactorTable
from mlatem.model.identification import Identification
from mlatem.model.line_names import subshell_covariance
from mlatem.model.verdict import Decision, Verdict


@dataclass(frozen=True)
class Estimate:
    """A number with its standard deviation and where it comes from."""

    value: float
    sigma: float | None
    """None where it was not measured."""
    origin: Origin
    """"file" means measured on the data or read from the file."""


@dataclass(frozen=True)
class DetectorAxis:
    """Energy axis and resolution of one of several detectors."""

    name: str
    share: float
    """Part of the counts in the fitted window that it detected."""
    energy_offset_kev: Estimate
    energy_gain: Estimate
    noise_ev: Estimate
    """Electronic noise, FWHM."""

    def corrected(self, energy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The file's energy axis (keV) as this detector sees it; shape kept."""
        return energy * (1.0 + self.energy_gain.value) + self.energy_offset_kev.value


@dataclass(frozen=True)
class Calibration:
    """Everything that, with the settings, determines the dictionary of a dataset."""

    energy_offset_kev: Estimate
    """Added to the energy axis of the file."""
    energy_gain: Estimate
    """Relative: corrected energy = energy * (1 + gain) + offset."""
    noise_ev: Estimate
    """Electronic noise, FWHM."""
    fano: Estimate
    """Fano factor of the detector."""
    beam_energy_kev: Estimate
    take_off_angle_deg: Estimate
    mass_thickness_kg_m2: Estimate
    """0 where the thickness is not known; absorption is then left out."""
    composition: Mapping[str, float]
    """Mean atomic fractions of the specimen, used for absorption; they add up to 1."""
    elements: tuple[str, ...]
    """Elements of the specimen."""
    system_elements: tuple[str, ...]
    """Elements of the instrument: fitted, left out of the composition."""
    first_channel: int
    """The fitted window starts here."""
    stop_channel: int
    """The fitted window ends before this channel."""
    deviance_per_dof: float
    """Of the sum spectrum in the window."""
    decisions: tuple[Decision, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    take_off_angles_deg: tuple[float, ...] = ()
    """Of every detector; `take_off_angle_deg` is their effective one. Empty: there is one."""
    line_factors: Mapping[str, Estimate] = field(default_factory=dict)
    """On the tabulated intensities of sub-shells, "Pt M5", as the sum spectrum shows them. The
    strongest sub-shell of each element's best known family stays at one and is not named."""
    line_factor_prior: Mapping[str, float] = field(default_factory=dict)
    """Standard deviations of the logarithms of line factors before the data were seen. One that is
    not here is taken as it is; the others are fitted again with the phases."""
    line_factor_common: Mapping[str, float] = field(default_factory=dict)
    """Part of `line_factor_prior` that a sub-shell has in common with the others of its family; 0
    if it is not here."""
    offset_gain_correlation: float | None = None
    """Of the uncertainties of offset and gain; None where not both were fitted."""
    resolution_ev: Estimate | None = None
    """FWHM at Mn Ka, 5.9 keV, that noise and Fano factor give together."""
    pile_up: Estimate | None = None
    """Part of the counts in the window that are sum peaks; None leaves them out."""
    detectors: tuple[DetectorAxis, ...] = ()
    """Where the file keeps the spectra of several detectors apart; empty otherwise."""
    spectrum: tuple[float, ...] = ()
    """Sum of all spectra on the whole axis of the file, on which all this was measured."""
    factor_table: FactorTable | None = None
    """Factors that correct the computed intensities of lines; None where none were given."""
    electrons_per_pixel: Estimate | None = None
    """Dose; None where beam current or time is not known."""
    solid_angle_sr: Estimate | None = None
    """Of the detectors together; None where not known."""
    identification: Identification | None = None
    """Elements that the data show; None where they were not looked for."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def window(self) -> slice:
        """Channels that are fitted."""
        return slice(self.first_channel, self.stop_channel)

    @property
    def take_off(self) -> tuple[float, ...]:
        """Take-off angles that absorption is averaged over, degrees."""
        return self.take_off_angles_deg or (self.take_off_angle_deg.value,)

    def corrected(self, energy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The file's energy axis (keV) with offset and gain applied; shape kept."""
        return energy * (1.0 + self.energy_gain.value) + self.energy_offset_kev.value

    def on_file_axis(self, corrected: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `corrected`."""
        return (corrected - self.energy_offset_kev.value) / (1.0 + self.energy_gain.value)

    @property
    def factors(self) -> dict[str, float]:
        """Values of the line factors."""
        return {name: factor.value for name, factor in self.line_factors.items()}

    def line_factor_covariance(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Covariance of the logarithms of line factors before the data were seen.

        Parameters
        ----------
        names : sequence of str
            Of `line_factor_prior`.

        Returns
        -------
        covariance : ndarray of shape (n_names, n_names)
        """
        return subshell_covariance(
            names,
            np.array([self.line_factor_prior[name] for name in names]),
            np.array([self.line_factor_common.get(name, 0.0) for name in names]),
        )

    def validate(self) -> None:
        """Check elements, window and composition.

        Raises
        ------
        InputError
        """
        check_symbols(self.elements)
        check_symbols(self.system_elements)
        both = sorted(set(self.elements) & set(self.system_elements))
        if both:
            raise InputError(
                f"{', '.join(both)} is named both as an element of the specimen and as one of the "
                "instrument: keep it in one of `elements` and `system_elements`"
            )
        if not 0 <= self.first_channel < self.stop_channel:
            raise InputError(
                f"fitted window {self.first_channel}:{self.stop_channel} is empty: widen "
                "edxs.energy_min_kev / edxs.energy_max_kev"
            )
        total = sum(self.composition.values())
        if self.composition and not math.isclose(total, 1.0, rel_tol=1e-6):
            raise InputError(f"mean composition adds up to {total:.6g}, expected 1")
        share = sum(detector.share for detector in self.detectors)
        if self.detectors and not math.isclose(share, 1.0, rel_tol=1e-6):
            raise InputError(f"shares of the detectors add up to {share:.6g}, expected 1")
        if self.spectrum and len(self.spectrum) < self.stop_channel:
            raise InputError(
                f"sum spectrum has {len(self.spectrum)} channels but the fitted window ends at "
                f"{self.stop_channel}: calibrate this dataset again"
            )

    def to_dict(self) -> dict[str, Any]:
        """The calibration as JSON-safe values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_dict`."""
        fields = dict(values)
        for name in (
            "energy_offset_kev",
            "energy_gain",
            "noise_ev",
            "fano",
            "beam_energy_kev",
            "take_off_angle_deg",
            "mass_thickness_kg_m2",
        ):
            fields[name] = Estimate(**fields[name])
        for name in ("elements", "system_elements", "take_off_angles_deg", "spectrum"):
            fields[name] = tuple(fields.get(name, ()))
        fields["detectors"] = tuple(_detector(d) for d in fields.get("detectors", ()))
        fields["decisions"] = tuple(Decision(**d) for d in fields["decisions"])
        fields["verdicts"] = tuple(Verdict(**v) for v in fields["verdicts"])
        for name in ("electrons_per_pixel", "solid_angle_sr", "resolution_ev", "pile_up"):
            fields[name] = Estimate(**fields[name]) if fields.get(name) else None
        fields["line_factors"] = {
            name: Estimate(**values) for name, values in fields.get("line_factors", {}).items()
        }
        table = fields.get("factor_table")
        fields["factor_table"] = None if table is None else FactorTable.from_dict(table)
        if fields.get("identification") is not None:
            fields["identification"] = Identification.from_dict(fields["identification"])
        return cls(**fields)


def _detector(values: Mapping[str, Any]) -> DetectorAxis:
    names = ("energy_offset_kev", "energy_gain", "noise_ev")
    return DetectorAxis(**{**values, **{name: Estimate(**values[name]) for name in names}})
