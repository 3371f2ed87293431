# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.factorization.pooled import PooledData
from mlatem.factorization.solver import estimate_n_phases
from mlatem.factorization.vertices import successive_projection, vertices_of_fit
from mlatem.model import Dictionary, RegionStatistics


def test_vertices_of_a_triangle_are_found_among_its_points():
    rng = np.random.default_rng(0)
    corners = np.array([[4.0, 0, 0], [0, 3.0, 0], [1, 1, 5.0]])
    points = np.vstack([rng.dirichlet(np.ones(3), 50) @ corners, corners])
    assert set(successive_projection(points, 3)) == {50, 51, 52}


def test_fewer_vertices_where_points_span_less():
    points = np.outer(np.linspace(1, 2, 9), [1.0, 2.0, 3.0])
    assert len(successive_projection(points, 3)) == 1


def test_vertices_of_a_fit_are_its_purest_regions():
    columns = np.eye(3)
    weight = np.array([[0.8, 0.2, 0.0], [0.0, 0.3, 0.7]])
    abundance = np.array([[900.0, 0.0], [500.0, 400.0], [10.0, 800.0]])
    data = PooledData(abundance @ weight @ columns, np.ones(3, dtype=np.int64), columns)
    found = vertices_of_fit(data, abundance, weight)
    expected = (abundance @ weight)[[0, 2]]
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(found[np.argsort(-found[:, 0])], expected)


@pytest.mark.parametrize("n_phases", [1, 2, 3, 4, 5])
def test_number_of_phases(make_specimen, make_regions, n_phases):
    example = make_specimen(n_phases, 100)
    assert estimate_n_phases(make_regions(example), example.dictionary) == n_phases


def test_elements_that_few_regions_hold_are_no_phases():
    """Strong lines in two regions of forty: without balanced noise they pass for more phases."""
    rng = np.random.default_rng(3)
    columns = np.kron(np.eye(8), np.ones(10))
    names = [f"c{i}" for i in range(8)]
    dictionary = Dictionary.from_arrays(
        columns, np.arange(80.0), names, ["background"] * 8, [None] * 8
    )
    matrix = np.array([1, 1, 1, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3])
    rare = np.array([0, 0, 0, 1, 1, 1, 1, 1.0])
    shares = np.zeros(40)
    shares[:2] = 0.9, 0.6
    spectra = np.outer(1 - shares, matrix / matrix.sum()) + np.outer(shares, rare / rare.sum())
    found = []
    for _ in range(20):
        counts = rng.poisson(9000 * spectra @ columns / 10).astype(float)
        region = RegionStatistics(counts, np.ones(40, dtype=np.int64))
        found.append(estimate_n_phases([region], dictionary))
    assert found.count(2) >= 19
