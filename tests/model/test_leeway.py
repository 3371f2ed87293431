# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Leeway

ATOMS = np.eye(3)


def make_leeway(n_thinnings=1, n_freed=1):
    """One phase of two elements, 3 to 1, a third one at zero that nothing follows."""
    shape = (n_thinnings, 1, 3)
    covariance = np.zeros((*shape, 3))
    covariance[..., 0, 0] = covariance[..., 1, 1] = 0.01**2
    covariance[..., 0, 1] = covariance[..., 1, 0] = -(0.01**2)
    return Leeway(
        coefficient=np.tile([0.75, 0.25, 0.0], (n_thinnings, 1, 1)),
        covariance=covariance,
        shift=np.zeros(shape),
        direction=np.zeros((n_thinnings, n_freed, 1, 3)),
        variance=np.ones((n_thinnings, n_freed)),
        best=np.zeros((n_thinnings, n_freed)),
    )


def bounds(leeway, **options):
    return leeway.fraction_bounds(0, leeway.coefficient[0, 0], ATOMS, **options)


def test_without_zeros_an_interval_is_the_delta_method():
    low, high = bounds(make_leeway(), z=2.0)
    assert low == pytest.approx([0.73, 0.23, 0.0])
    assert high == pytest.approx([0.77, 0.27, 0.0])


def test_what_a_penalty_has_pulled_is_taken_back_on_one_side():
    shift = np.array([[[0.03, -0.03, 0.0]]])
    low, high = bounds(replace(make_leeway(), shift=shift), z=2.0)
    assert low == pytest.approx([0.73, 0.20, 0.0])
    assert high == pytest.approx([0.80, 0.27, 0.0])


def test_a_freed_element_widens_the_others_too():
    """Likeliest 0.1, taken from the first element; the truth may have it."""
    freed = replace(
        make_leeway(),
        direction=np.array([[[[-1.0, 0.0, 1.0]]]]),
        variance=np.array([[0.02**2]]),
        best=np.array([[0.1]]),
    )
    low, high = bounds(freed, z=2.0)
    assert high[2] == pytest.approx(0.14)
    assert low[2] == 0
    # The hull of an ellipse: 0.1 + 2 sqrt(0.01^2 + 0.02^2).
    assert low[0] == pytest.approx(0.65 - 2 * np.hypot(0.01, 0.02), abs=1e-3)
    assert high == pytest.approx([0.77, 0.27, 0.14])


def test_counts_that_speak_against_an_element_leave_it_little_room():
    freed = replace(
        make_leeway(),
        direction=np.array([[[[-1.0, 0.0, 1.0]]]]),
        variance=np.array([[0.02**2]]),
        best=np.array([[-0.1]]),
    )
    # The deviance from zero on: (x + 0.1)^2 / v - 0.1^2 / v = 4.
    assert bounds(freed, z=2.0)[1][2] == pytest.approx(np.sqrt(0.04**2 + 0.1**2) - 0.1)


def test_a_phase_that_others_are_mixed_into_does_not_become_more_than_they():
    """An element at zero that only the other phase has: freed, it brings all of that phase."""
    coefficient = np.array([[0.8, 0.2, 0.0], [0.1, 0.8, 0.1]])
    leeway = Leeway(
        coefficient=coefficient[None],
        covariance=np.zeros((1, 2, 3, 3)),
        shift=np.zeros((1, 2, 3)),
        direction=np.stack([(coefficient[1] - coefficient[0]) / 0.1, np.zeros(3)])[None, None],
        variance=np.array([[0.15**2]]),
        best=np.zeros((1, 1)),
    )
    low, high = leeway.fraction_bounds(0, coefficient[0], ATOMS, z=2.0)
    # An amount of 0.3, three of the other phase to one of this.
    mixed = (coefficient[0] + 3 * coefficient[1]) / 4
    assert low == pytest.approx(np.minimum(coefficient[0], mixed))
    assert high == pytest.approx(np.maximum(coefficient[0], mixed))


def test_scatter_of_the_thinnings_adds_in_quadrature():
    scattered = make_leeway(3)
    coefficient = scattered.coefficient.copy()
    coefficient[:, 0, :2] += np.array([-0.02, 0.0, 0.02])[:, None] * [1, -1]
    low, high = replace(scattered, coefficient=coefficient).fraction_bounds(
        0, np.array([0.75, 0.25, 0.0]), ATOMS, z=1.96
    )
    # Student's t of 95 % for three values, from the tables: 4.303.
    expected = np.hypot(1.96 * 0.01, 4.303 * 0.02)
    assert high[0] - 0.75 == pytest.approx(expected, rel=1e-3)
    assert 0.25 - low[1] == pytest.approx(expected, rel=1e-3)


def test_sigma_of_spectra_has_the_same_scatter():
    scattered = make_leeway(3)
    coefficient = scattered.coefficient.copy()
    coefficient[:, 0, 2] = [0.0, 0.02, 0.04]
    sigma = replace(scattered, coefficient=coefficient).spectrum_sigma(np.eye(3)[None], z=1.96)
    assert sigma[0, 2] == pytest.approx(4.303 * 0.02 / 1.96, rel=1e-3)


def test_weight_fractions_are_those_of_the_same_compositions():
    masses = np.diag([56.0, 16.0, 28.0])
    leeway = make_leeway()
    low, high = leeway.fraction_bounds(0, leeway.coefficient[0, 0], masses, z=2.0)
    value = 0.75 * 56 / (0.75 * 56 + 0.25 * 16)
    slope = value * (1 - value) * (1 / 0.75 + 1 / 0.25)
    assert high[0] - value == pytest.approx(2 * 0.01 * slope)
    assert value - low[0] == pytest.approx(2 * 0.01 * slope)


def test_a_phase_without_amounts_has_no_bounds():
    empty = replace(make_leeway(), coefficient=np.zeros((1, 1, 3)))
    assert np.isnan(bounds(empty)).all()


def test_sigma_of_spectra_is_the_support_of_the_same_set():
    """Against amounts and errors on a fine grid."""
    rng = np.random.default_rng(0)
    columns = rng.random((1, 3, 5))
    for best in (0.1, 0.01, -0.05):
        leeway = replace(
            make_leeway(),
            direction=np.array([[[[-0.6, -0.4, 1.0]]]]),
            variance=np.array([[0.03**2]]),
            best=np.array([[best]]),
        )
        amount = np.linspace(0, 0.3, 20001)
        deviance = ((amount - best) ** 2 - min(best, 0) ** 2) / 0.03**2
        amount, deviance = amount[deviance <= 4], deviance[deviance <= 4]
        change = np.array([-0.6, -0.4, 1.0]) @ columns[0]
        sigma = np.sqrt(np.einsum("ie,ij,je->e", columns[0], leeway.covariance[0, 0], columns[0]))
        reach = np.sqrt(4 - deviance)[:, None] * sigma
        largest = np.max(np.abs(amount[:, None] * change) + reach, axis=0)
        expected = np.maximum(largest, 2 * sigma) / 2
        assert leeway.spectrum_sigma(columns, z=2.0)[0] == pytest.approx(expected, rel=1e-4)


def test_bad_leeways_are_named():
    with pytest.raises(InputError, match="best has shape"):
        replace(make_leeway(), best=np.zeros((1, 2)))
    with pytest.raises(InputError, match="not positive"):
        replace(make_leeway(), variance=np.zeros((1, 1)))
