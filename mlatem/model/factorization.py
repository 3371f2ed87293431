# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of the factorisation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.model.ambiguity import Ambiguity
from mlatem.model.dictionary import Dictionary, Kind
from mlatem.model.leeway import Leeway

#: Names of the leeway's fields in the labelled form, with their dimensions.
_LEEWAY = {
    "coefficient": ("thinning_coefficient", ("thinning", "phase", "column")),
    "covariance": ("thinning_covariance", ("thinning", "phase", "column", "column_2")),
    "shift": ("likeliest_shift", ("thinning", "phase", "column")),
    "direction": ("freed_direction", ("thinning", "freed", "phase", "column")),
    "variance": ("freed_variance", ("thinning", "freed")),
    "best": ("freed_best", ("thinning", "freed")),
}

#: Variables of the labelled form that are NaN in masked pixels, and zero in the record.
_MASKED = (
    "abundance",
    "abundance_smooth",
    "deviance",
    "alternative_abundance",
    "alternative_deviance",
)


#: Maps that a factorisation may lack.
_OPTIONAL = ("abundance_smooth", "alternative_abundance", "alternative_deviance")


@dataclass(frozen=True)
class Factorization:
    """Phases of a spectrum image: compositions, spectra, abundance maps and their uncertainties.

    The expected counts of a pixel are `abundance @ spectrum`. The spectrum of a phase is the sum of
    coefficient times column, and adds up to one. The columns are the dictionary's, or the phase's
    own, absorbed in itself; coefficients are proportional to numbers of atoms in either case.
    """

    dictionary: Dictionary
    coefficient: NDArray[np.float64]
    """Shape (n_phases, n_columns); not negative."""
    coefficient_covariance: NDArray[np.float64]
    """Shape (n_phases, n_columns, n_columns); statistical, abundances free."""
    abundance: NDArray[np.float32]
    """Shape (ny, nx, n_phases); expected counts of each phase in each pixel."""
    abundance_covariance: NDArray[np.float32]
    """Shape (ny, nx, n_phases, n_phases); statistical, compositions fixed; NaN where not known."""
    deviance: NDArray[np.float32]
    """Shape (ny, nx); Poisson deviance of each pixel."""
    dominant_counts: NDArray[np.float64]
    """Shape (n_phases, n_energy); measured counts summed over the pixels that a phase dominates."""
    dominant_abundance: NDArray[np.float64]
    """Shape (n_phases, n_phases); abundances [region of phase, phase] summed over these pixels."""
    loss: NDArray[np.float64]
    """Shape (n_rounds,); negative log-likelihood of the pooled spectra after each round."""
    y_nm: NDArray[np.float64]
    """Positions of the rows in nm."""
    x_nm: NDArray[np.float64]
    """Positions of the columns in nm."""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """JSON-safe: settings, seed, input hashes, decisions, verdicts, line factors."""
    phase_columns: NDArray[np.float64] | None = None
    """Shape (n_phases, n_columns, n_energy); None where all phases have the dictionary's."""
    leeway: Leeway | None = None
    """Compositions that the counts allow beside the answer; None where they are not known."""
    ambiguity: Ambiguity | None = None
    """What the data leave open; None where it was not looked for."""
    abundance_smooth: NDArray[np.float32] | None = None
    """Shape (ny, nx, n_phases); averaged over similar neighbours, expected counts. Nearer to the
    truth than `abundance` where a neighbourhood is uniform, but without standard deviations."""
    alternative_abundance: NDArray[np.float32] | None = None
    """Shape (ny, nx, n_phases); by the other answer, expected counts; None where one answer is
    given only. Its compositions are `ambiguity.alternative_coefficient`."""
    alternative_deviance: NDArray[np.float32] | None = None
    """Shape (ny, nx); of the other answer."""
    mask: NDArray[np.bool_] | None = None
    """Shape (ny, nx); True in pixels that are left out, None where all are used. They have zeros
    in all maps of this record, so that they weigh nothing in sums, and NaN in the labelled form."""

    def __post_init__(self) -> None:
        self.validate()

    @property
    def n_phases(self) -> int:
        """Number of phases."""
        return len(self.coefficient)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Shape (ny, nx); True in pixels that are not masked."""
        return np.ones(self.deviance.shape, dtype=bool) if self.mask is None else ~self.mask

    @property
    def spectrum(self) -> NDArray[np.float64]:
        """Shape (n_phases, n_energy); phase spectra that add up to one."""
        spectrum: NDArray[np.float64] = np.einsum("kj,kje->ke", self.coefficient, self.columns)
        return spectrum

    @property
    def sigma_spectrum(self) -> NDArray[np.float64]:
        """Shape (n_phases, n_energy); standard deviations of the phase spectra.

        With what answers hide by their zeros (`Leeway.spectrum_sigma`), where that is known.
        """
        if self.leeway is not None:
            return self.leeway.spectrum_sigma(self.columns)
        carried = self.coefficient_covariance @ self.columns
        sigma: NDArray[np.float64] = np.sqrt(np.clip((carried * self.columns).sum(axis=1), 0, None))
        return sigma

    @property
    def alternative_spectrum(self) -> NDArray[np.float64]:
        """Shape (n_phases, n_energy); spectra of the other answer, which add up to one.

        The answer's own where no other one was looked for.
        """
        if self.ambiguity is None:
            return self.spectrum
        return self.ambiguity.other_spectrum(self.columns)

    @property
    def columns(self) -> NDArray[np.float64]:
        """Shape (n_phases, n_columns, n_energy); columns of every phase, absolute."""
        own = self.dictionary.columns if self.phase_columns is None else self.phase_columns
        return np.broadcast_to(own, (self.n_phases, *self.dictionary.columns.shape))

    @property
    def line_factors(self) -> dict[str, tuple[float, float, float]]:
        """Factors on sub-shells, "Pt M5", that were fitted with the phases.

        Each with its standard deviation from counts, which the covariance of the coefficients
        holds, and from what the tables leave open, which it does not.
        """
        found = self.attrs.get("line_factors", {})
        return {
            str(name): (value, counts, tables) for name, (value, counts, tables) in found.items()
        }

    def dictionary_of(self, phase: int) -> Dictionary:
        """The dictionary with the columns of one phase."""
        if self.phase_columns is None:
            return self.dictionary
        return replace(self.dictionary, columns=self.phase_columns[phase])

    def validate(self) -> None:
        """Check shapes, signs and normalisation.

        Raises
        ------
        InputError
        """
        k, m = self.n_phases, self.dictionary.n_columns
        n_energy = self.dictionary.energy.size
        ny, nx = self.y_nm.size, self.x_nm.size
        expected = {
            "coefficient": (k, m),
            "coefficient_covariance": (k, m, m),
            "abundance": (ny, nx, k),
            "abundance_covariance": (ny, nx, k, k),
            "deviance": (ny, nx),
            "dominant_counts": (k, n_energy),
            "dominant_abundance": (k, k),
            "phase_columns": (k, m, n_energy),
            "abundance_smooth": (ny, nx, k),
            "alternative_abundance": (ny, nx, k),
            "alternative_deviance": (ny, nx),
            "mask": (ny, nx),
        }
        if self.leeway is not None and self.leeway.coefficient.shape[1:] != (k, m):
            raise InputError(
                f"factorization: the leeway is of {self.leeway.coefficient.shape[1:]} phases and "
                f"columns, expected {(k, m)}"
            )
        if self.ambiguity is not None:
            self.ambiguity.validate(k, m)
        for name, shape in expected.items():
            values = getattr(self, name)
            if values is not None and values.shape != shape:
                raise InputError(
                    f"factorization: {name} has shape {values.shape}, expected {shape}"
                )
        if (self.alternative_abundance is None) != (self.alternative_deviance is None):
            raise InputError(
                "factorization: the other answer has either abundances or a deviance: give both"
            )
        for name in ("coefficient", "abundance", "deviance"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise InputError(f"factorization: {name} holds NaN or infinite values")
        for name in ("coefficient", "abundance"):
            if np.any(getattr(self, name) < 0):
                raise InputError(f"factorization: {name} holds negative values")
        if self.mask is not None and np.any(self.abundance[self.mask]):
            raise InputError("factorization: masked pixels hold abundances: set them to zero")
        if not np.allclose(self.spectrum.sum(axis=1), 1.0, rtol=1e-6):
            raise InputError(
                "factorization: a phase spectrum does not add up to one: divide its coefficients "
                "by its sum and multiply its abundances with it"
            )

    def to_dataset(self) -> xr.Dataset:
        """Labelled form, with `spectrum` and the standard deviations beside the covariances."""
        dictionary = self.dictionary
        pair = ("y", "x", "phase", "phase_2")
        variance = np.diagonal(self.coefficient_covariance, axis1=1, axis2=2)
        pixel_variance = np.diagonal(self.abundance_covariance, axis1=2, axis2=3)
        dataset = xr.Dataset(
            {
                "spectrum": (("phase", "energy"), self.spectrum),
                "sigma_spectrum": (("phase", "energy"), self.sigma_spectrum),
                "coefficient": (("phase", "column"), self.coefficient),
                "sigma_coefficient": (("phase", "column"), np.sqrt(np.clip(variance, 0, None))),
                "coefficient_covariance": (
                    ("phase", "column", "column_2"),
                    self.coefficient_covariance,
                ),
                "abundance": (("y", "x", "phase"), self.abundance),
                "sigma_abundance": (
                    ("y", "x", "phase"),
                    np.sqrt(np.clip(pixel_variance, 0, None)),
                ),
                "abundance_covariance": (pair, self.abundance_covariance),
                "deviance": (("y", "x"), self.deviance),
                "dominant_counts": (("phase", "energy"), self.dominant_counts),
                "dominant_abundance": (("phase", "phase_2"), self.dominant_abundance),
                "loss": (("round",), self.loss),
                "dictionary_column": (("column", "energy"), dictionary.columns),
                "factor_sigma": (("column",), dictionary.factor_sigma),
            },
            coords={
                "y": ("y", self.y_nm, {"units": "nm"}),
                "x": ("x", self.x_nm, {"units": "nm"}),
                "energy": ("energy", dictionary.energy, {"units": "keV"}),
            },
            attrs={
                "schema": "mlatem-factorization/1",
                "column_names": list(dictionary.names),
                "column_kinds": list(dictionary.kinds),
                "column_elements": list(dictionary.elements),
                "first_channel": dictionary.first_channel,
                "details": json.dumps(dict(self.attrs)),
            },
        )
        if self.phase_columns is not None:
            dataset["phase_column"] = (("phase", "column", "energy"), self.phase_columns)
        if self.leeway is not None:
            for name, (variable, dimensions) in _LEEWAY.items():
                dataset[variable] = (dimensions, getattr(self.leeway, name))
        if self.ambiguity is not None:
            dataset = dataset.assign(self.ambiguity.to_variables())
            dataset["alternative_spectrum"] = (("phase", "energy"), self.alternative_spectrum)
            dataset.attrs["geometry_class"] = self.ambiguity.geometry_class
            dataset.attrs["ambiguity"] = json.dumps(self.ambiguity.to_attrs())
        if self.abundance_smooth is not None:
            dataset["abundance_smooth"] = (("y", "x", "phase"), self.abundance_smooth)
        if self.alternative_abundance is not None:
            dataset["alternative_abundance"] = (("y", "x", "phase"), self.alternative_abundance)
            dataset["alternative_deviance"] = (("y", "x"), self.alternative_deviance)
        if self.mask is None:
            return dataset
        used = xr.DataArray(self.used, dims=("y", "x"))
        for name in (*_MASKED, "sigma_abundance"):
            if name in dataset:
                dataset[name] = dataset[name].where(used)
        return dataset.assign(mask=(("y", "x"), self.mask, {"long_name": "pixels left out"}))

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Factorization:
        """The inverse of `to_dataset`.

        Raises
        ------
        InputError
            If the dataset is not a factorisation.
        """
        if dataset.attrs.get("schema") != "mlatem-factorization/1":
            raise InputError(
                f"not a factorisation (schema {dataset.attrs.get('schema')!r}): "
                "expected what mlatem.factorize returned"
            )
        names = [
            "coefficient",
            "coefficient_covariance",
            "abundance",
            "abundance_covariance",
            "deviance",
            "dominant_counts",
            "dominant_abundance",
            "loss",
        ]
        dictionary = Dictionary(
            columns=dataset["dictionary_column"].values,
            energy=dataset["energy"].values,
            names=tuple(dataset.attrs["column_names"]),
            kinds=cast(tuple[Kind, ...], tuple(dataset.attrs["column_kinds"])),
            elements=tuple(dataset.attrs["column_elements"]),
            factor_sigma=dataset["factor_sigma"].values,
            first_channel=int(dataset.attrs["first_channel"]),
        )
        mask = dataset["mask"].values.astype(bool) if "mask" in dataset else None
        if mask is not None:
            used = xr.DataArray(~mask, dims=("y", "x"))
            maps = [name for name in _MASKED if name in dataset]
            dataset = dataset.assign({name: dataset[name].where(used, 0) for name in maps})
        return cls(
            dictionary=dictionary,
            mask=mask,
            **{name: dataset[name].values for name in names},
            y_nm=dataset["y"].values,
            x_nm=dataset["x"].values,
            attrs=json.loads(dataset.attrs["details"]),
            phase_columns=dataset["phase_column"].values if "phase_column" in dataset else None,
            leeway=_leeway_of(dataset),
            ambiguity=(
                Ambiguity.from_dataset(dataset, json.loads(dataset.attrs["ambiguity"]))
                if "ambiguity" in dataset.attrs
                else None
            ),
            **{name: dataset[name].values for name in _OPTIONAL if name in dataset},
        )


def _leeway_of(dataset: xr.Dataset) -> Leeway | None:
    """The leeway in the labelled form; None where there is none."""
    if "freed_direction" not in dataset:
        return None
    return Leeway(**{name: dataset[variable].values for name, (variable, _) in _LEEWAY.items()})
