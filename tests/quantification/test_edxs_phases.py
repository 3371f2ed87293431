# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Dictionary
from mlatem.quantification.edxs import STANDARDLESS, quantify
from mlatem.settings import Quantify

ONE_PIXEL = np.full((1, 1, 1), 1e5)
#: g/mol, IUPAC 2021 abridged.
WEIGHT = {"Fe": 55.845, "O": 15.999, "Si": 28.085}


def inverse_information(coefficient, dictionary: Dictionary, n_counts: float) -> np.ndarray:
    """Covariance of the coefficients, per unit spectrum, of Poisson counts."""
    columns = dictionary.columns
    unit = coefficient / (coefficient @ columns).sum()
    return np.linalg.inv(n_counts * (columns / (unit @ columns)) @ columns.T)


def test_known_amounts_give_exact_percent(dictionary, new_factorization):
    # Two phases: Fe2O3 and Fe2SiO4, each with continuum and grid.
    coefficient = [[2, 3, 0, 1, 50, 80], [2, 4, 1, 0, 20, 90]]
    table = quantify(
        new_factorization(dictionary, coefficient, [[[900, 100], [100, 900], [200, 800]]]),
        dataset="rust",
    )
    atomic = table.pivot("atomic_percent")
    np.testing.assert_allclose(atomic.loc[1], [40, 60, 0], rtol=1e-12)
    np.testing.assert_allclose(atomic.loc[2], 100 * np.array([2, 4, 1]) / 7, rtol=1e-12)
    weight = 2 * WEIGHT["Fe"], 3 * WEIGHT["O"]
    np.testing.assert_allclose(
        table.pivot("weight_percent").loc[1], [*(100 * w / sum(weight) for w in weight), 0], 1e-4
    )
    assert list(atomic.columns) == ["Fe", "O", "Si"]
    assert table.frame.groupby("phase")["area_fraction"].first().tolist() == [1 / 3, 2 / 3]
    assert set(table.frame["dataset"]) == {"rust"}
    assert set(table.frame["method"]) == {"absolute"}
    assert set(table.frame["factor_source"]) == {STANDARDLESS}


def test_columns_of_one_element_add_up(new_dictionary, new_factorization):
    # Two chemical states of Fe in place of Fe and Si.
    dictionary = new_dictionary(
        names=["Fe 2+", "O", "Fe 3+", "Cu (system)", "continuum 1", "continuum 2"],
        elements=["Fe", "O", "Fe", "Cu", None, None],
    )
    frame = quantify(
        new_factorization(dictionary, [[1, 4, 2, 1, 50, 50]], ONE_PIXEL)
    ).frame.set_index("element")
    assert list(frame.index) == ["Fe", "O"]
    np.testing.assert_allclose(frame["atomic_percent"], [300 / 7, 400 / 7])
    # d(x_Fe) = x_Fe x_O (dFe/Fe - dO/O), with the two states of Fe independent.
    fe = np.hypot(1 * 0.04, 2 * 0.04) / 3
    np.testing.assert_allclose(frame["sigma_sys"], 100 * 12 / 49 * np.hypot(fe, 0.25), rtol=1e-9)
    assert frame["line_or_edge"]["Fe"] == "all lines, strongest 4.00 keV, 1.74 keV"


def test_statistical_sigma_is_the_scatter_of_repeated_measurements(dictionary, new_factorization):
    n_counts, n = 2e5, 20_000
    truth = np.array([2.0, 3.0, 0.5, 1.0, 80.0, 120.0])
    factorization = new_factorization(
        dictionary,
        [truth],
        [[[n_counts]]],
        [inverse_information(truth, dictionary, n_counts)],
    )
    stated = quantify(factorization).frame["sigma_stat"].to_numpy()
    # Weighted least squares reaches the Poisson bound at these counts.
    columns, expected = dictionary.columns, n_counts * factorization.spectrum[0]
    counts = np.random.default_rng(2).poisson(expected, size=(n, expected.size))
    weighted = columns / expected
    fitted = np.linalg.solve(weighted @ columns.T, weighted @ counts.T).T
    percent = 100 * fitted[:, :3] / fitted[:, :3].sum(axis=1, keepdims=True)
    scatter = percent.std(axis=0, ddof=1)
    # The sample deviation of n normal numbers has the relative standard deviation sqrt(1 / 2n).
    assert np.all(np.abs(scatter / stated - 1) < 5 / np.sqrt(2 * n) + 0.002)


def test_factor_sigma_passes_through_the_delta_method(dictionary, new_factorization):
    # Against the scatter for columns that are wrong by random, independent factors.
    small = replace(dictionary, factor_sigma=dictionary.factor_sigma / 20)
    amounts = np.array([2.0, 3.0, 1.0])
    stated = quantify(new_factorization(small, [[*amounts, 0, 50, 50]], ONE_PIXEL)).frame[
        "sigma_sys"
    ]
    n = 40_000
    wrong = amounts * (1 + small.factor_sigma[:3] * np.random.default_rng(4).normal(size=(n, 3)))
    scatter = (100 * wrong / wrong.sum(axis=1, keepdims=True)).std(axis=0)
    assert np.all(np.abs(scatter / stated - 1) < 5 / np.sqrt(2 * n) + 0.002)


def test_scale_of_the_columns_does_not_matter(dictionary, new_factorization):
    truth = np.array([2.0, 3.0, 0.0, 1.0, 80.0, 120.0])
    covariance = inverse_information(truth, dictionary, 1e5)
    covariance[2] = covariance[:, 2] = 0
    scaled = replace(dictionary, columns=1e-22 * dictionary.columns)
    numbers = ["atomic_percent", "weight_percent", "sigma_stat", "sigma_sys", "detection_limit"]
    first = quantify(new_factorization(dictionary, [truth], ONE_PIXEL, [covariance])).frame
    second = quantify(new_factorization(scaled, [truth], ONE_PIXEL, [1e44 * covariance])).frame
    np.testing.assert_allclose(second[numbers], first[numbers], rtol=1e-9)


def test_an_element_at_zero_gets_an_upper_limit(dictionary, new_factorization):
    truth = np.array([2.0, 3.0, 0.0, 1.0, 80.0, 120.0])
    poor, rich = (
        quantify(new_factorization(dictionary, [truth], [[[n]]])).frame.set_index("element")
        for n in (1e4, 1e6)
    )
    for frame in (poor, rich):
        assert frame["atomic_percent"]["Si"] == 0
        assert 0 < frame["sigma_stat"]["Si"] < frame["detection_limit"]["Si"] < 100
    # Limited by the background: as one over the root of the counts, with Currie's 2.71 on top.
    few, many = (
        f["detection_limit"]["Si"] / (100 - f["detection_limit"]["Si"]) for f in (poor, rich)
    )
    assert 10 <= few / many < 15
    assert 3.29 * rich["sigma_stat"]["Si"] <= 1.01 * rich["detection_limit"]["Si"]


def test_the_variance_of_an_element_at_zero_is_kept_where_the_solver_gives_it(
    dictionary, new_factorization
):
    truth = np.array([2.0, 3.0, 0.0, 1.0, 80.0, 120.0])
    covariance = inverse_information(truth, dictionary, 1e5)
    with_variance = quantify(new_factorization(dictionary, [truth], ONE_PIXEL, [covariance]))
    covariance[2] = covariance[:, 2] = 0
    without = quantify(new_factorization(dictionary, [truth], ONE_PIXEL, [covariance]))
    silicon = with_variance.frame["element"] == "Si"
    np.testing.assert_allclose(
        without.frame["sigma_stat"][silicon], with_variance.frame["sigma_stat"][silicon], rtol=0.01
    )


def test_a_phase_of_background_only_is_not_quantified(dictionary, new_factorization):
    coefficient = [[2, 3, 1, 0, 50, 80], [0, 0, 0, 1, 1, 1]]
    table = quantify(new_factorization(dictionary, coefficient, [[[5e4, 0], [0, 5e4]]]))
    rows = table.frame[table.frame["phase"] == 2]
    for name in ("atomic_percent", "weight_percent", "sigma_stat", "sigma_sys", "detection_limit"):
        assert rows[name].isna().all(), name
    first = table.frame[table.frame["phase"] == 1]
    assert first[["atomic_percent", "sigma_stat", "detection_limit"]].notna().all(axis=None)


def test_a_single_element_has_no_uncertainty(new_dictionary, new_factorization):
    for factor_sigma in ([0.4, 0, 0, 0, 0, 0], np.zeros(6)):
        dictionary = new_dictionary(
            kinds=["line", "system", "system", "system", "background", "background"],
            factor_sigma=factor_sigma,
        )
        truth = np.array([2.0, 3.0, 1.0, 1.0, 80.0, 120.0])
        covariance = [inverse_information(truth, dictionary, 1e5)]
        frame = quantify(new_factorization(dictionary, [truth], ONE_PIXEL, covariance)).frame
        np.testing.assert_allclose(frame[["atomic_percent", "weight_percent"]], 100)
        np.testing.assert_allclose(frame[["sigma_stat", "sigma_sys"]], 0, atol=1e-9)
        assert 0 < frame["detection_limit"][0] < 100


def test_unknown_uncertainties_are_not_zero(new_dictionary, new_factorization):
    dictionary = new_dictionary(factor_sigma=np.zeros(6))
    unknown = np.full((1, 6, 6), np.nan)
    factorization = new_factorization(dictionary, [[2, 3, 1, 1, 50, 50]], ONE_PIXEL, unknown)
    frame = quantify(factorization).frame
    assert frame["sigma_sys"].isna().all()
    assert frame["sigma_stat"].isna().all()
    assert frame[["atomic_percent", "detection_limit"]].notna().all(axis=None)
    assert set(frame["factor_source"]) == {"columns as given"}
    named = quantify(factorization, factor_source="measured on Fe2SiO4").frame
    assert set(named["factor_source"]) == {"measured on Fe2SiO4"}


def test_pixels_with_few_line_counts_belong_to_no_phase(dictionary, new_factorization):
    coefficient = [[2, 3, 1, 0, 1, 1], [1, 1, 0, 0, 1, 1]]
    factorization = new_factorization(dictionary, coefficient, [[[90, 0], [0, 90], [3, 0], [0, 0]]])
    area = quantify(factorization).frame.groupby("phase")["area_fraction"].first()
    assert area.tolist() == [0.25, 0.25]
    everything = quantify(factorization, settings=Quantify(min_pixel_counts=0)).frame
    assert everything.groupby("phase")["area_fraction"].first().tolist() == [0.5, 0.25]


def test_a_dictionary_without_lines_is_refused(new_dictionary, new_factorization):
    dictionary = new_dictionary(kinds=["system"] * 4 + ["background"] * 2)
    with pytest.raises(InputError, match="nothing can be quantified"):
        quantify(new_factorization(dictionary, [[1, 1, 1, 1, 1, 1]], ONE_PIXEL))
