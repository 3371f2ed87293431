# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem import settings
from mlatem.factorization import averaging
from mlatem.factorization.averaging import averaged_weight
from mlatem.factorization.constraints import EXACT, Constraints, Statements
from mlatem.factorization.pooled import PooledData, spectral_angle
from mlatem.factorization.sparsity import fit_sparse

OPTIONS = settings.Factorize()
N_COLUMNS = 8


def embedded(seed, n_regions=40, counts=4000, *, shared=True):
    """A matrix nearly everywhere and a phase that is nowhere pure and has a little of everything.

    Eight lines of equal width; the last column is a continuum. Columns that the matrix has a lot
    of, and the phase 1 to 3 %, are those that an answer of most zeros takes away.
    """
    rng = np.random.default_rng(seed)
    channel = np.arange(160.0)
    lines = np.exp(-0.5 * ((channel - 10 - 19 * np.arange(N_COLUMNS - 1)[:, None]) / 3) ** 2)
    columns = np.vstack([lines, np.exp(-channel / 60)])
    columns /= columns.sum(axis=1, keepdims=True)
    matrix = np.array([0.3, 0.25, 0.2, 0.05, 0.0, 0.0, 0.0, 0.2])
    phase = np.array([0.1, 0.02, 0.01, 0.0, 0.3, 0.3, 0.07, 0.2]) + 1e-9
    if not shared:
        phase = np.array([0.0, 0.0, 0.0, 0.0, 0.4, 0.3, 0.1, 0.2])
    weight = np.stack([matrix, phase])
    share = np.where(np.arange(n_regions) < n_regions // 2, 0.0, rng.uniform(0.1, 0.5, n_regions))
    abundance = counts * np.stack([1 - share, share], axis=1)
    drawn = rng.poisson(abundance @ (weight @ columns)).astype(float)
    return PooledData(drawn, np.full(n_regions, 10), columns), abundance, weight


def solved(data, weight):
    penalized = np.arange(N_COLUMNS) < N_COLUMNS - 1
    sparse = fit_sparse(data, weight, penalized, OPTIONS)
    mean = averaged_weight(data, sparse.abundance, sparse.weight, penalized, seed=1)
    return sparse.weight, mean


def angles(data, first, second):
    return np.degrees(spectral_angle(first @ data.columns, second @ data.columns))


def test_the_mean_is_nearer_to_a_phase_that_is_never_pure():
    of_sparse, of_mean = [], []
    for seed in range(8):
        data, _, truth = embedded(seed)
        sparse, mean = solved(data, truth)
        of_sparse.append(angles(data, sparse, truth)[1])
        of_mean.append(angles(data, mean, truth)[1])
    assert np.mean(of_mean) < 0.9 * np.mean(of_sparse), (of_sparse, of_mean)
    assert max(of_mean) < 1.1 * max(of_sparse)


def test_weights_are_shares():
    data, _, truth = embedded(0)
    _, mean = solved(data, truth)
    assert np.all(mean >= 0)
    assert np.allclose(mean.sum(axis=1), 1.0)


def test_where_phases_share_no_element_little_is_left_open():
    data, _, truth = embedded(0, counts=100_000, shared=False)
    sparse, mean = solved(data, truth)
    assert angles(data, sparse, mean).max() < 0.1
    assert np.all(mean[1, :4] < 1e-3)


def test_a_mean_far_from_the_answer_is_not_taken(monkeypatch):
    data, _, truth = embedded(0)
    monkeypatch.setattr(averaging, "_TOO_FAR_DEG", -1.0)
    sparse, mean = solved(data, truth)
    assert np.array_equal(sparse, mean)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_same_seed_gives_the_same_mean(seed):
    data, _, truth = embedded(seed)
    assert np.array_equal(solved(data, truth)[1], solved(data, truth)[1])


def told(**options):
    """Constraints of two phases of which nothing is known but what is given."""
    shape = (2, N_COLUMNS)
    nothing = {
        "allowed": np.ones(shape, dtype=bool),
        "told": np.zeros(shape, dtype=bool),
        "fixed": np.zeros(2, dtype=bool),
        "weight": np.zeros(shape),
        "present": np.ones((1, 2), dtype=bool),
        "statements": Statements.none(N_COLUMNS),
    }
    return Constraints(**(nothing | options))


def share(low, high, sigma=EXACT):
    """The share of the second column in the elements of the second phase."""
    numerator, denominator = np.eye(N_COLUMNS)[[1]], np.ones((1, N_COLUMNS))
    denominator[0, -1] = 0.0
    ends = (np.array([value]) for value in (low, high, sigma))
    return Statements(np.array([1]), numerator, denominator, *ends)


def told_mean(seed, constraints):
    data, _, truth = embedded(seed)
    penalized = np.arange(N_COLUMNS) < N_COLUMNS - 1
    sparse = fit_sparse(data, truth, penalized, OPTIONS, constraints)
    mean = averaged_weight(
        data, sparse.abundance, sparse.weight, penalized, seed=1, constraints=constraints
    )
    return data, truth, sparse.weight, mean


def test_what_a_phase_lacks_stays_zero_and_a_known_phase_stays():
    _, _, truth = embedded(0)
    allowed = truth > 1e-6
    known = told(allowed=allowed, fixed=np.array([True, False]), weight=truth)
    _, _, sparse, mean = told_mean(0, known)
    assert np.all(mean[~allowed] == 0)
    assert np.array_equal(mean[0], sparse[0])
    assert np.abs(mean[1] - sparse[1]).max() > 1e-4


def test_a_share_within_limits_or_exact_is_kept():
    for low, high in ((0.03, 0.06), (0.04, 0.04)):
        statements = share(low, high)
        mean = told_mean(0, told(statements=statements))[3]
        found = mean[1, 1] / mean[1, :-1].sum()
        assert low - 1e-4 <= found <= high + 1e-4


def test_a_share_with_a_sigma_pulls_the_mean():
    found = []
    for sigma in (0.1, 0.01, 0.001):
        mean = told_mean(0, told(statements=share(0.06, 0.06, sigma)))[3]
        found.append(abs(mean[1, 1] / mean[1, :-1].sum() - 0.06))
    assert found[0] > found[1] > found[2]
    assert found[2] < 2e-3


def test_what_is_there_is_told_without_an_amount():
    spoken = np.zeros((2, N_COLUMNS), dtype=bool)
    spoken[1, :3] = True
    allowed = np.ones(spoken.shape, dtype=bool)
    allowed[1, 2] = False
    known = told(told=spoken, allowed=allowed, statements=share(0.04, 0.04))
    assert np.argwhere(known.there()).tolist() == [[1, 0]]


def test_the_mean_is_nearer_to_the_truth_if_all_elements_are_told():
    blind, known = [], []
    for seed in range(4):
        data, _, truth = embedded(seed)
        blind.append(angles(data, solved(data, truth)[1], truth).mean())
        allowed = truth > 1e-6
        mean = told_mean(seed, told(allowed=allowed, told=np.ones_like(allowed)))[3]
        known.append(angles(data, mean, truth).mean())
    assert np.mean(known) < np.mean(blind), (blind, known)
