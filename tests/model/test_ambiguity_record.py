# SPDX-License-Identifier: GPL-3.0-or-later
import json
from dataclasses import fields, replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Ambiguity, Dictionary, Factorization


def make_ambiguity(n_phases=2, n_columns=3) -> Ambiguity:
    square = np.arange(n_phases**2, dtype=float).reshape(n_phases, n_phases) / 10
    return Ambiguity(
        geometry_class="OPEN",
        alternative="contiguous",
        is_given=False,
        reason="nothing decides",
        question="is Ca present in phase 2?",
        purity=np.array([0.9, 0.2]),
        n_lacking=np.array([3, 0]),
        is_alone=np.array([True, False]),
        mixing_low=-square,
        mixing_high=square,
        alternative_coefficient=np.full((n_phases, n_columns), 0.5),
        alternative_scale=np.ones((n_phases, n_columns)),
        fewer_coefficient=np.ones((n_phases - 1, n_columns)),
        more_coefficient=np.ones((n_phases + 1, n_columns)),
        order_deviance=np.array([300.0, 100.0, np.nan]),
    )


@pytest.fixture
def factorization():
    energy = np.arange(4.0)
    dictionary = Dictionary.from_arrays(
        np.eye(4)[:3],
        energy,
        ["O", "Ca", "continuum"],
        ["line", "line", "background"],
        ["O", "Ca", None],
    )
    return Factorization(
        dictionary=dictionary,
        coefficient=np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]),
        coefficient_covariance=np.zeros((2, 3, 3)),
        abundance=np.ones((2, 2, 2), dtype=np.float32),
        abundance_covariance=np.zeros((2, 2, 2, 2), dtype=np.float32),
        deviance=np.ones((2, 2), dtype=np.float32),
        dominant_counts=np.ones((2, 4)),
        dominant_abundance=np.ones((2, 2)),
        loss=np.ones(3),
        y_nm=np.arange(2.0),
        x_nm=np.arange(2.0),
        ambiguity=make_ambiguity(),
    )


def test_labelled_form_and_back(factorization):
    dataset = factorization.to_dataset()
    assert dataset["mixing_low"].dims == ("phase", "phase_2")
    assert dataset["alternative_coefficient"].dims == ("phase", "column")
    assert dataset.attrs["geometry_class"] == "OPEN"
    json.dumps(dataset.attrs)
    again = Factorization.from_dataset(dataset).ambiguity
    for field in fields(Ambiguity):
        first, second = getattr(factorization.ambiguity, field.name), getattr(again, field.name)
        same = np.array_equal(first, second) or np.allclose(first, second, equal_nan=True)
        assert same, field.name


def test_alternative_spectra_add_up_to_one(factorization):
    spectrum = factorization.to_dataset()["alternative_spectrum"].values
    assert spectrum.sum(axis=1) == pytest.approx([1.0, 1.0])


def test_a_factorization_without_it_stays_as_it_was(factorization):
    plain = replace(factorization, ambiguity=None)
    dataset = plain.to_dataset()
    assert "mixing_low" not in dataset and "ambiguity" not in dataset.attrs
    assert Factorization.from_dataset(dataset).ambiguity is None
    assert np.array_equal(plain.alternative_spectrum, plain.spectrum)


def test_shapes_are_checked(factorization):
    wrong = replace(make_ambiguity(), purity=np.ones(3))
    with pytest.raises(InputError, match=r"ambiguity: purity has shape \(3,\), expected \(2,\)"):
        replace(factorization, ambiguity=wrong)
