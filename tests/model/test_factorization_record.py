# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from mlatem.errors import InputError
from mlatem.model import Dictionary, Factorization, Leeway


@pytest.fixture
def factorization() -> Factorization:
    """Two phases of three columns on a map of 2 x 3 pixels."""
    rng = np.random.default_rng(5)
    columns = rng.random((3, 6))
    dictionary = Dictionary.from_arrays(
        columns,
        np.arange(6) * 0.01,
        ["Fe", "O", "continuum 1"],
        ["line", "line", "background"],
        ["Fe", "O", None],
        factor_sigma=[0.04, 0.25, 0.0],
    )
    coefficient = rng.random((2, 3))
    coefficient /= (coefficient @ columns).sum(axis=1, keepdims=True)
    covariance = np.einsum("kij,klj->kil", *2 * [rng.random((2, 3, 3))])
    pixel_covariance = np.tile(np.eye(2, dtype=np.float32), (2, 3, 1, 1))
    pixel_covariance[0, 0] = np.nan
    return Factorization(
        dictionary=dictionary,
        coefficient=coefficient,
        coefficient_covariance=covariance,
        abundance=rng.random((2, 3, 2)).astype(np.float32),
        abundance_covariance=pixel_covariance,
        deviance=np.ones((2, 3), dtype=np.float32),
        dominant_counts=rng.random((2, 6)),
        dominant_abundance=rng.random((2, 2)),
        loss=np.array([3.0, 2.0, 1.5]),
        y_nm=np.arange(2.0),
        x_nm=np.arange(3.0) * 0.5,
        attrs={"seed": 0, "elements": ["Fe", "O"], "note": "Å"},
    )


def with_own_columns(factorization: Factorization) -> Factorization:
    """The second phase emits half as much of its first column: twice the amount of it."""
    own = np.array(factorization.columns)
    own[1, 0] *= 0.5
    coefficient = factorization.coefficient.copy()
    coefficient[1, 0] *= 2.0
    return replace(factorization, coefficient=coefficient, phase_columns=own)


def test_phases_with_columns_of_their_own(factorization):
    own = with_own_columns(factorization)
    np.testing.assert_allclose(own.spectrum, factorization.spectrum)
    assert own.dictionary_of(0).columns == pytest.approx(factorization.dictionary.columns)
    assert own.dictionary_of(1).columns[0] == pytest.approx(own.columns[1, 0])
    assert factorization.dictionary_of(1) is factorization.dictionary
    assert_same(Factorization.from_dataset(own.to_dataset()), own)
    with pytest.raises(InputError, match="phase_columns has shape"):
        replace(own, phase_columns=own.columns[:1])


def assert_same(a: Factorization, b: Factorization) -> None:
    for field in fields(Factorization):
        first, second = getattr(a, field.name), getattr(b, field.name)
        if isinstance(first, Dictionary):
            assert (first.names, first.kinds, first.elements) == (
                second.names,
                second.kinds,
                second.elements,
            )
            np.testing.assert_array_equal(first.columns, second.columns)
            np.testing.assert_array_equal(first.factor_sigma, second.factor_sigma)
        elif isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second, err_msg=field.name)
        elif isinstance(first, Leeway):
            for name, values in vars(first).items():
                np.testing.assert_array_equal(values, getattr(second, name), err_msg=name)
        else:
            assert first == second


def test_expected_counts_follow_from_abundances_and_spectra(factorization: Factorization):
    np.testing.assert_allclose(factorization.spectrum.sum(axis=1), 1.0)
    assert factorization.n_phases == 2


def test_dataset_round_trip(factorization: Factorization):
    dataset = factorization.to_dataset()
    assert_same(Factorization.from_dataset(dataset), factorization)
    assert dataset["sigma_abundance"].dims == ("y", "x", "phase")
    assert np.isnan(dataset["sigma_abundance"][0, 0]).all()
    np.testing.assert_allclose(dataset["sigma_abundance"][0, 1], 1.0)
    np.testing.assert_allclose(
        dataset["sigma_coefficient"][1, 2] ** 2, factorization.coefficient_covariance[1, 2, 2]
    )


def leeway_of(factorization: Factorization) -> Leeway:
    """Of two thinnings; one weight of the second phase can be freed."""
    direction = np.zeros((2, 1, 2, 3))
    direction[:, 0, 1] = [-0.5, 0.5, 0.0]
    return Leeway(
        coefficient=np.stack([factorization.coefficient] * 2),
        covariance=np.stack([factorization.coefficient_covariance] * 2),
        shift=np.zeros((2, 2, 3)),
        direction=direction,
        variance=np.full((2, 1), 0.04),
        best=np.zeros((2, 1)),
    )


def test_leeway_goes_with_the_dataset(factorization: Factorization):
    known = replace(factorization, leeway=leeway_of(factorization))
    assert_same(Factorization.from_dataset(known.to_dataset()), known)
    with pytest.raises(InputError, match="the leeway is of"):
        replace(known, leeway=replace(known.leeway, **_of_one_phase(known.leeway)))


def _of_one_phase(leeway: Leeway) -> dict[str, np.ndarray]:
    phases = {"coefficient": 1, "covariance": 1, "shift": 1, "direction": 2}
    return {name: np.take(getattr(leeway, name), [0], axis) for name, axis in phases.items()}


def test_sigma_of_spectra_holds_what_the_answer_hides(factorization: Factorization):
    plain = factorization.to_dataset()["sigma_spectrum"].values
    columns = factorization.dictionary.columns
    expected = columns.T @ factorization.coefficient_covariance[0] @ columns
    np.testing.assert_allclose(plain[0], np.sqrt(np.diag(expected)))
    known = replace(factorization, leeway=leeway_of(factorization))
    np.testing.assert_allclose(known.sigma_spectrum[0], plain[0])
    assert np.all(known.sigma_spectrum[1] >= plain[1] * (1 - 1e-12))
    assert np.any(known.sigma_spectrum[1] > 1.001 * plain[1])


def test_one_phase_keeps_its_dimensions(factorization: Factorization):
    one = replace(
        factorization,
        coefficient=factorization.coefficient[:1],
        coefficient_covariance=factorization.coefficient_covariance[:1],
        abundance=factorization.abundance[..., :1],
        abundance_covariance=factorization.abundance_covariance[..., :1, :1],
        dominant_counts=factorization.dominant_counts[:1],
        dominant_abundance=factorization.dominant_abundance[:1, :1],
    )
    assert_same(Factorization.from_dataset(one.to_dataset()), one)


def test_other_datasets_are_refused():
    with pytest.raises(InputError, match="not a factorisation"):
        Factorization.from_dataset(xr.Dataset())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: {"abundance": f.abundance[:, :2]}, "abundance has shape"),
        (lambda f: {"coefficient": f.coefficient * 2}, "does not add up to one"),
        (lambda f: {"coefficient": f.coefficient * np.nan}, "coefficient holds NaN"),
        (lambda f: {"abundance": -f.abundance}, "abundance holds negative"),
        (lambda f: {"deviance": f.deviance * np.inf}, "deviance holds NaN or infinite"),
        (lambda f: {"coefficient_covariance": np.zeros((2, 2, 2))}, "coefficient_covariance has"),
    ],
)
def test_broken_factorization(factorization: Factorization, change: Any, message: str):
    with pytest.raises(InputError, match=message):
        replace(factorization, **change(factorization))
