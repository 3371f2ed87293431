# SPDX-License-Identifier: GPL-3.0-or-later
"""Formulas of the literature on intensities."""

from __future__ import annotations

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.quantification.classical import cliff_lorimer, cross_section, zeta

COUNTS = np.array([1000.0, 400.0, 250.0])


def test_cliff_lorimer_by_hand():
    found = cliff_lorimer(COUNTS, [1.0, 2.0, 4.0])
    np.testing.assert_allclose(found.fractions, np.array([1000, 800, 1000]) / 2800)
    assert found.amount is None
    assert np.isnan(found.sigma_stat).all()
    assert np.isnan(found.sigma_sys).all()


def test_zeta_gives_fractions_and_mass_thickness():
    found = zeta(COUNTS, [300.0, 500.0, 800.0], electrons=1e9)
    assert found.amount == pytest.approx((3e5 + 2e5 + 2e5) / 1e9)
    np.testing.assert_allclose(found.fractions, np.array([3, 2, 2]) / 7)


def test_cross_sections_give_atoms_per_area():
    found = cross_section(COUNTS, [10.0, 20.0, 5.0], electrons=1e9)
    # 100 + 20 + 50 counts per barn, 1 barn = 1e-28 m2.
    assert found.amount == pytest.approx(170 / 1e9 * 1e28)
    np.testing.assert_allclose(found.fractions, np.array([100, 20, 50]) / 170)


@pytest.mark.parametrize("method", ["k", "zeta", "cross_section"])
def test_errors_are_the_scatter_of_repetitions(method):
    factor = np.array([3.0, 5.0, 8.0])
    counts_sigma, factor_sigma = np.sqrt(COUNTS), 0.03 * factor

    def run(counts, factors, **sigmas):
        if method == "k":
            return cliff_lorimer(counts, factors, **sigmas)
        if method == "zeta":
            sigmas = {k.replace("k_sigma", "zeta_sigma"): v for k, v in sigmas.items()}
            return zeta(counts, factors, electrons=1e9, **sigmas)
        sigmas = {k.replace("k_sigma", "cross_section_sigma"): v for k, v in sigmas.items()}
        return cross_section(counts, factors, electrons=1e9, **sigmas)

    stated = run(COUNTS, factor, sigma=counts_sigma, k_sigma=factor_sigma)
    rng, n = np.random.default_rng(3), 8000
    by_counts = [run(rng.normal(COUNTS, counts_sigma), factor) for _ in range(n)]
    by_factor = [run(COUNTS, rng.normal(factor, factor_sigma)) for _ in range(n)]
    tolerance = 5 / np.sqrt(2 * n) + 0.02
    for repeated, sigma in ((by_counts, stated.sigma_stat), (by_factor, stated.sigma_sys)):
        scatter = np.std([r.fractions for r in repeated], axis=0)
        np.testing.assert_allclose(scatter, sigma, rtol=tolerance)
    if method != "k":
        both = [
            run(rng.normal(COUNTS, counts_sigma), rng.normal(factor, factor_sigma)).amount
            for _ in range(n)
        ]
        assert np.std(both) == pytest.approx(stated.amount_sigma, rel=tolerance)


def test_what_cannot_be_quantified_is_refused():
    with pytest.raises(InputError, match="dose is 0 electrons: give beam current"):
        zeta(COUNTS, COUNTS, electrons=0)
    with pytest.raises(InputError, match="one of each per element"):
        cliff_lorimer(COUNTS, [1.0, 2.0])
    with pytest.raises(InputError, match="not negative"):
        cliff_lorimer([-1.0, 2.0], [1.0, 2.0])
    with pytest.raises(InputError, match="k-factors must be finite and above 0"):
        cliff_lorimer([1.0, 2.0], [1.0, 0.0])
