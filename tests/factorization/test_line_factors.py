# SPDX-License-Identifier: GPL-3.0-or-later
"""Factors on lines that all phases share, fitted together with compositions and abundances."""

import numpy as np
import pytest

from mlatem.factorization.factor_errors import factor_errors
from mlatem.factorization.factor_model import FactorModel, Unknowns
from mlatem.factorization.line_factors import fit_factors
from mlatem.factorization.pooled import PooledData, unit_columns
from mlatem.model.column_parts import ColumnParts

ENERGY = np.linspace(0.3, 8.0, 160)
#: Positions in keV, column and factor of the parts: two elements with K and L lines, one with K.
LINES = ((6.4, 0, -1), (0.7, 0, 0), (4.5, 1, -1), (0.45, 1, 1), (1.2, 2, -1))
PRIOR = (0.4, 0.4)
TRUE = np.log([0.6, 1.3])
WEIGHT = np.array([[0.7, 0.0, 0.2, 0.1], [0.2, 0.5, 0.0, 0.3]])
N_REGIONS = 10


def parts_of(absorption=(0.3, 1.2)):
    """Two phases, of which the second absorbs its soft lines more."""
    spectra = [
        np.exp(-0.5 * ((ENERGY - position) / 0.08) ** 2) * (0.6 if factor >= 0 else 1.0)
        for position, _, factor in LINES
    ]
    spectra.append(1.0 / ENERGY)
    through = np.exp(-np.array(absorption)[:, None] / ENERGY**2)
    column = np.array([*(c for _, c, _ in LINES), 3])
    factor = np.array([*(f for _, _, f in LINES), -1])
    return ColumnParts(
        np.array(spectra)[None] * through[:, None, :],
        column,
        factor,
        ("A L3", "B L3"),
        np.diag(np.square(PRIOR)),
    )


PARTS = parts_of()


def expected(total=1e5, log_factor=TRUE):
    """Counts of regions from pure to mixed, and their abundances."""
    share = np.linspace(0, 1, N_REGIONS)
    abundance = total * np.stack([share, 1 - share], axis=1)
    # Weights are those of the columns with the true factors.
    columns = unit_columns(PARTS.columns(log_factor))
    return abundance @ np.einsum("kj,kje->ke", WEIGHT, columns), abundance


def measured(total=1e5, seed=None, log_factor=TRUE):
    counts, abundance = expected(total, log_factor)
    if seed is not None:
        counts = np.random.default_rng(seed).poisson(counts).astype(float)
    columns = unit_columns(PARTS.columns(np.zeros(2)))
    return PooledData(counts, np.full(N_REGIONS, 100), columns), abundance + 0.01 * total


def fitted(data, abundance, parts=PARTS):
    start = np.maximum(WEIGHT, 0.02)
    start /= start.sum(axis=1, keepdims=True)
    return fit_factors(data, parts, abundance, start, np.zeros(2))


def amounts(weight, log_factor):
    """Atomic fractions of the three elements."""
    coefficient = (weight / PARTS.columns(log_factor).sum(axis=-1))[:, :3]
    return coefficient / coefficient.sum(axis=1, keepdims=True)


def test_factors_come_back_whatever_the_phases_absorb():
    found = fitted(*measured(total=1e8))
    np.testing.assert_allclose(found.log_factor, TRUE, atol=2e-3)
    np.testing.assert_allclose(
        amounts(found.weight, found.log_factor), amounts(WEIGHT, TRUE), atol=2e-3
    )
    np.testing.assert_allclose(found.weight.sum(axis=1), 1.0)


def test_absorption_of_the_mean_passes_for_a_factor():
    """What the joint fit is for: one absorption for all phases gives wrong factors."""
    data, abundance = measured(total=1e6)
    mean = fitted(data, abundance, parts_of(absorption=(0.75, 0.75)))
    own = fitted(data, abundance)
    assert np.abs(mean.log_factor - TRUE).max() > 0.3
    assert np.abs(own.log_factor - TRUE).max() < 0.02


@pytest.mark.parametrize("total", [300.0, 1e4, 1e6])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_objective_never_rises(total, seed):
    found = fitted(*measured(total, seed))
    assert len(found.objective) > 1
    assert np.all(np.diff(found.objective) <= 0)
    assert np.all(np.isfinite(found.log_factor))


def test_without_counts_the_tables_stand():
    found = fitted(*measured(total=1.0))
    np.testing.assert_allclose(found.log_factor, 0.0, atol=0.05)


def test_what_is_common_to_sub_shells_carries_over():
    """A sub-shell that the counts do not tell follows the one of its family that they do."""
    hidden = parts_of()
    spectrum = hidden.spectrum.copy()
    spectrum[:, 3] *= 1e-6
    apart, alike = (
        ColumnParts(spectrum, hidden.column, hidden.factor, hidden.names, covariance)
        for covariance in (0.16 * np.eye(2), np.array([[0.16, 0.14], [0.14, 0.16]]))
    )
    columns = unit_columns(apart.columns(TRUE))
    counts, abundance = expected(total=1e6)
    counts = abundance @ np.einsum("kj,kje->ke", WEIGHT, columns)
    data = PooledData(counts, np.full(N_REGIONS, 100), columns)
    assert fitted(data, abundance, apart).log_factor == pytest.approx([TRUE[0], 0.0], abs=0.02)
    conditional = 0.14 / 0.16 * TRUE[0]
    found = fitted(data, abundance, alike).log_factor
    assert found == pytest.approx([TRUE[0], conditional], abs=0.03)


def test_slopes_and_information_are_the_derivatives():
    data, abundance = measured(total=1e4, seed=3)
    values = Unknowns(abundance, np.maximum(WEIGHT, 0.01), np.array([0.1, -0.2]))
    model = FactorModel.at(data, PARTS, values)
    slope = model.slope()
    for factor, step in enumerate(1e-5 * np.eye(2)):
        ends = [
            FactorModel.at(
                data,
                PARTS,
                Unknowns(values.abundance, values.weight, values.log_factor + sign * step),
                scale=model.scale,
            )
            for sign in (1, -1)
        ]
        difference = (ends[0].objective - ends[1].objective) / 2e-5
        assert slope.log_factor[factor] == pytest.approx(difference, rel=1e-4)
        moved = (ends[0].expected - ends[1].expected) / 2e-5
        curvature = np.sum(moved**2 / model.expected)
        n_weights = values.weight.size
        block = model.information().shared[n_weights + factor, n_weights + factor]
        assert block == pytest.approx(curvature, rel=1e-4)


def test_errors_are_those_of_repeated_measurements():
    """Factors scatter as told, and so does the part of compositions that follows them."""
    found = []
    for seed in range(60):
        data, abundance = measured(total=3e4, seed=seed)
        fit = fitted(data, abundance)
        found.append(fit.log_factor)
    data, abundance = measured(total=3e4)
    errors = factor_errors(data, PARTS, expected(3e4)[1], WEIGHT, TRUE)
    sigma = np.sqrt(np.diag(errors.from_counts))
    np.testing.assert_allclose(np.std(found, axis=0), sigma, rtol=0.35)
    # Beside the scatter there is the pull of the prior, which is small here.
    assert np.all(np.abs(np.mean(found, axis=0) - TRUE) < sigma)


def test_both_parts_of_the_errors_add_up_to_the_posterior():
    errors = {}
    for total in (1e-3, 1e3, 1e7):
        data, _ = measured(total)
        errors[total] = factor_errors(data, PARTS, expected(total)[1], WEIGHT, TRUE)
    nothing, some, much = errors.values()
    np.testing.assert_allclose(np.sqrt(np.diag(nothing.from_tables)), PRIOR, rtol=1e-2)
    assert np.all(np.diag(nothing.from_counts) < 1e-3)
    assert np.all(np.diag(much.from_tables) < 1e-2 * np.diag(much.from_counts))
    whole = np.diag(some.from_counts + some.from_tables)
    assert np.all(whole < np.array(PRIOR) ** 2) and np.all(whole > np.diag(much.from_counts))


def test_compositions_follow_an_error_of_a_factor():
    """The response is that of a fit whose factor is held elsewhere."""
    data, _ = measured(total=1e7)
    abundance = expected(1e7)[1]
    errors = factor_errors(data, PARTS, abundance, WEIGHT, TRUE)
    scale = PARTS.columns(TRUE).sum(axis=-1)
    step = np.array([0.02, 0.0])
    held = ColumnParts(PARTS.spectrum, PARTS.column, PARTS.factor, PARTS.names, 1e-12 * np.eye(2))
    shifted = ColumnParts(
        np.where(
            (held.factor >= 0)[:, None],
            np.exp(np.append(TRUE + step, 0.0))[held.factor][:, None],
            1,
        )
        * held.spectrum,
        *(held.column, held.factor, held.names, held.log_covariance),
    )
    fit = fit_factors(data, shifted, abundance, np.maximum(WEIGHT, 1e-3), np.zeros(2))
    moved = fit.weight / shifted.columns(np.zeros(2)).sum(axis=-1) - WEIGHT / scale
    expected_move = (errors.response / scale[:, :, None])[:, :, 0] * step[0]
    present = WEIGHT > 0
    size = np.abs(expected_move[present]).max()
    np.testing.assert_allclose(moved[present], expected_move[present], atol=0.1 * size)
