# SPDX-License-Identifier: GPL-3.0-or-later
"""The other answer as a factorisation of its own."""

from dataclasses import replace

import numpy as np
import pytest

import mlatem
from mlatem.errors import InputError
from mlatem.model import Ambiguity, Dictionary, Factorization
from mlatem.model.other_answer import other_answer

#: Two phases of two elements; the second one is the first's third in the other answer.
ATOMS = np.array([[0.8, 0.2], [0.0, 1.0]])
OTHER_ATOMS = np.array([[0.8, 0.2], [0.2, 0.8]])
#: Counts of an atom in each phase: by the answer, and as the other one absorbs.
OWN = np.array([[4.0, 2.0], [3.0, 2.0]])
OTHER = np.array([[4.0, 2.0], [3.5, 2.0]])


@pytest.fixture
def both():
    unit = np.array([[0.75, 0.25, 0.0], [0.0, 0.5, 0.5]])
    dictionary = Dictionary.from_arrays(
        unit, np.arange(3.0), ["O", "Ca"], ["line"] * 2, ["O", "Ca"]
    )
    opened = Ambiguity(
        geometry_class="OPEN",
        alternative="contiguous",
        is_given=False,
        reason="nothing decides",
        question="is O present in phase 2?",
        purity=np.array([0.9, 0.2]),
        n_lacking=np.array([1, 0]),
        is_alone=np.array([True, False]),
        mixing_low=np.zeros((2, 2)),
        mixing_high=np.zeros((2, 2)),
        alternative_coefficient=OTHER_ATOMS,
        alternative_scale=OTHER,
        fewer_coefficient=np.ones((1, 2)),
        more_coefficient=np.zeros((0, 2)),
        order_deviance=np.array([9.0, 2.0, np.nan]),
    )
    counts = (ATOMS * OWN).sum(axis=1, keepdims=True)
    abundance = np.array([[[5.0, 0.0], [1.0, 6.0]]], dtype=np.float32)
    return Factorization(
        dictionary=dictionary,
        coefficient=ATOMS / counts,
        coefficient_covariance=np.full((2, 2, 2), 1e-6),
        abundance=abundance,
        abundance_covariance=np.ones((1, 2, 2, 2), dtype=np.float32),
        deviance=np.ones((1, 2), dtype=np.float32),
        dominant_counts=np.ones((2, 3)),
        dominant_abundance=np.array([[5.0, 0.0], [1.0, 6.0]]),
        loss=np.ones(2),
        y_nm=np.arange(1.0),
        x_nm=np.arange(2.0),
        phase_columns=unit * OWN[:, :, None],
        ambiguity=opened,
        alternative_abundance=np.array([[[4.0, 1.0], [0.5, 6.5]]], dtype=np.float32),
        alternative_deviance=np.full((1, 2), 2.0, dtype=np.float32),
        attrs={"seed": 1, "verdicts": [], "n_carried": 2},
    )


def test_its_composition_and_maps_are_those_of_the_other_reading(both):
    found = other_answer(both)
    assert np.allclose(found.coefficient / found.coefficient.sum(axis=1)[:, None], OTHER_ATOMS)
    assert np.allclose(found.spectrum, both.alternative_spectrum)
    weight = OTHER_ATOMS * OTHER
    weight /= weight.sum(axis=1, keepdims=True)
    assert np.allclose(found.spectrum, weight @ both.dictionary.columns)
    assert np.array_equal(found.abundance, both.alternative_abundance)
    assert np.array_equal(found.deviance, both.alternative_deviance)
    assert np.array_equal(found.dominant_abundance, [[4.0, 1.0], [0.5, 6.5]])
    assert np.isnan(found.coefficient_covariance).all()
    assert found.attrs == {"seed": 1, "n_carried": 2, "reading": "contiguous"}


def test_from_a_notebook_it_can_be_quantified(both):
    dataset = both.to_dataset()
    assert dataset["alternative_abundance"].dims == ("y", "x", "phase")
    table = mlatem.quantify(mlatem.other_answer(dataset))
    percent = table.pivot("atomic_percent").to_numpy()
    assert np.allclose(percent, 100 * OTHER_ATOMS, atol=1e-6)
    assert table.frame["sigma_stat"].isna().all()


def test_where_there_is_one_answer_the_reason_is_told(both):
    corner = replace(both.ambiguity, geometry_class="CORNER")
    plain = replace(both, ambiguity=corner, alternative_abundance=None, alternative_deviance=None)
    with pytest.raises(InputError, match="class of this one is CORNER"):
        other_answer(plain)
    given = replace(plain, ambiguity=replace(both.ambiguity, is_given=True))
    with pytest.raises(InputError, match="is OPEN, and the geometry was given"):
        other_answer(given)
    with pytest.raises(InputError, match="was not looked for"):
        other_answer(replace(plain, ambiguity=None))


def test_the_maps_of_both_have_one_shape(both):
    with pytest.raises(InputError, match="alternative_abundance has shape"):
        replace(both, alternative_abundance=both.alternative_abundance[:, :1])
    with pytest.raises(InputError, match="give both"):
        replace(both, alternative_deviance=None)
