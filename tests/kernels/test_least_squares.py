# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy.optimize import nnls

from mlatem.kernels import least_squares

N_PIXELS, N_ENERGY = 70, 700


@pytest.fixture(scope="module", params=[1, 2, 4, 6])
def case(request):
    n_phases = request.param
    rng = np.random.default_rng(n_phases)
    columns = rng.dirichlet(np.full(N_ENERGY, 0.3), 9)
    weights = rng.dirichlet(np.full(9, 0.3), n_phases)
    spectrum = weights @ columns
    truth = rng.dirichlet(np.full(n_phases, 0.5), N_PIXELS) * 4000
    variance = 0.5 + truth @ spectrum + rng.uniform(0, 2, (N_PIXELS, N_ENERGY))
    values = rng.normal(truth @ spectrum, np.sqrt(variance)).astype(np.float32)
    return values, (1 / variance).astype(np.float32), columns, weights


def fitted(case):
    values, weight, columns, weights = case
    spectrum = (weights @ columns).astype(np.float32)
    matrix, right = least_squares.normal_equations(values, weight, spectrum)
    return spectrum, matrix, right, least_squares.abundances(matrix, right)


def test_normal_equations_and_loss(case):
    values, weight, _, _ = case
    spectrum, matrix, right, best = fitted(case)
    assert np.allclose(matrix, np.einsum("pc,kc,lc->pkl", weight, spectrum, spectrum), rtol=1e-5)
    expected = (weight * values) @ spectrum.T
    assert np.allclose(right, expected, atol=1e-5 * np.abs(expected).max())
    squares = 0.5 * (weight * (values - best @ spectrum) ** 2).sum(axis=1)
    assert np.allclose(least_squares.loss(values, weight, spectrum, best), squares, rtol=1e-5)


def test_abundances_are_those_of_nnls(case):
    values, weight, _, _ = case
    spectrum, _, _, best = fitted(case)
    for y, w, found in zip(values, weight, best, strict=True):
        root = np.sqrt(w.astype(float))
        expected = nnls((spectrum * root).T.astype(float), y * root)[0]
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_a_multiplicative_sweep_lowers_the_loss(case):
    values, weight, _, _ = case
    values = np.maximum(values, 0)
    spectrum = (case[3] @ case[2]).astype(np.float32)
    matrix, right = least_squares.normal_equations(values, weight, spectrum)
    start = np.full(right.shape, 100.0)
    moved = least_squares.multiplicative_sweep(matrix, right, start)
    assert np.allclose(moved, start * right / np.einsum("pkl,pl->pk", matrix, start))
    before = least_squares.loss(values, weight, spectrum, start)
    assert np.all(least_squares.loss(values, weight, spectrum, moved) <= before * (1 + 1e-6))


def test_gradient_and_schur_complement(case):
    values, weight, columns, weights = case
    spectrum, _, _, best = fitted(case)
    size = weights.size
    gradient, hessian = np.zeros(weights.shape), np.zeros((size, size))
    for y, w, a in zip(values, weight.astype(float), best, strict=True):
        slope, free = columns @ (w * (a @ spectrum - y)), a > 0
        gradient += np.outer(a, slope)
        cross = np.einsum("kc,jc,c,l->klj", spectrum, columns, w, a)
        cross[np.arange(len(a)), np.arange(len(a))] += slope
        cross = cross.reshape(len(a), size)[free]
        hessian += np.kron(np.outer(a, a), (columns * w) @ columns.T)
        of_abundance = ((spectrum * w) @ spectrum.T)[np.ix_(free, free)]
        hessian -= cross.T @ np.linalg.solve(of_abundance, cross)
    found, curvature = least_squares.schur_sums(values, weight, columns, weights, best)
    assert np.allclose(found, gradient, atol=1e-4 * np.abs(gradient).max())
    assert np.allclose(curvature, hessian, atol=1e-4 * np.abs(hessian).max())


def test_values_of_no_weight_are_left_out(case):
    values, weight, columns, weights = case
    weight, spoiled = weight.copy(), values.copy()
    weight[:, 100:110], spoiled[:, 100:110] = 0, np.nan
    spectrum = (weights @ columns).astype(np.float32)
    one = least_squares.normal_equations(spoiled, weight, spectrum)
    other = least_squares.normal_equations(values, weight, spectrum)
    assert np.allclose(one[1], other[1], rtol=1e-6)
    best = least_squares.abundances(*one)
    assert np.isfinite(least_squares.loss(spoiled, weight, spectrum, best)).all()
