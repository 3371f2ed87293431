# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.kernels.newton import newton_abundances
from mlatem.kernels.poisson import loss
from mlatem.kernels.schur import schur_sums
from mlatem.model import SparseCounts


def reference(dense, columns, weight, abundance):
    """Gradient and Schur complement, pixel by pixel, with the abundances at zero held."""
    n_phases, n_columns = weight.shape
    spectrum, size = weight @ columns, weight.size
    gradient, hessian = np.zeros((n_phases, n_columns)), np.zeros((size, size))
    for y, a in zip(dense, abundance, strict=True):
        mu, free = a @ spectrum + 1e-12, a > 0
        q, slope = y / mu**2, columns @ (1 - y / mu)
        gradient += np.outer(a, slope)
        cross = np.einsum("kc,jc,c,l->klj", spectrum, columns, q, a)
        cross[np.arange(n_phases), np.arange(n_phases)] += slope
        cross = cross.reshape(n_phases, size)[free]
        of_abundance = (spectrum * q) @ spectrum.T
        hessian += np.kron(np.outer(a, a), (columns * q) @ columns.T)
        if free.any():
            hessian -= cross.T @ np.linalg.solve(of_abundance[np.ix_(free, free)], cross)
    return gradient, hessian


@pytest.fixture(scope="module", params=[1, 2, 4, 6])
def case(request):
    n_phases, n_columns, n_energy, n_pixels = request.param, 7, 80, 50
    rng = np.random.default_rng(request.param)
    columns = rng.dirichlet(np.full(n_energy, 0.3), n_columns)
    weight = rng.dirichlet(np.full(n_columns, 0.5), n_phases)
    truth = rng.dirichlet(np.full(n_phases, 0.5), n_pixels) * 500
    dense = rng.poisson(truth @ weight @ columns)
    dense[4] = 0
    counts = SparseCounts.from_dense(dense, np.arange(n_pixels))
    events = (counts.pointer, counts.channel, counts.count)
    spectrum = np.ascontiguousarray((weight @ columns).T, dtype=np.float32)
    abundance, _ = newton_abundances(*events, spectrum, truth + 1.0, 200, 1e-7)
    return events, dense, columns, weight, abundance


def test_sums_are_those_of_the_dense_formulae(case):
    events, dense, columns, weight, abundance = case
    gradient, hessian = schur_sums(*events, columns, weight, abundance)
    expected_gradient, expected = reference(dense, columns, weight, abundance)
    assert np.allclose(gradient, expected_gradient, atol=2e-4 * abundance.sum() ** 0.5)
    assert np.allclose(hessian, expected, atol=1e-4 * np.abs(expected).max())


def test_the_reduced_loss_follows_them(case):
    events, _, columns, weight, abundance = case
    gradient, hessian = schur_sums(*events, columns, weight, abundance)
    step = 0.02 * np.random.default_rng(0).uniform(size=weight.shape) * weight

    def reduced(moved):
        spectrum = np.ascontiguousarray((moved @ columns).T, dtype=np.float32)
        best, _ = newton_abundances(*events, spectrum, abundance + 0.1, 200, 1e-7)
        return loss(*events, spectrum, best).sum()

    change = reduced(weight + step) - reduced(weight)
    predicted = np.sum(gradient * step) + 0.5 * step.ravel() @ hessian @ step.ravel()
    assert change == pytest.approx(predicted, abs=0.1 * abs(predicted) + 0.02)
