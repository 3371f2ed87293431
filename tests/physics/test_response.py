# SPDX-License-Identifier: GPL-3.0-or-later
"""Escape peaks and tails against Monte Carlo and published numbers."""

from __future__ import annotations

import numpy as np
import pytest
import xraylib
from scipy.special import erf

from mlatem.physics.columns import line_groups
from mlatem.physics.lines import Lines
from mlatem.physics.response import detector_peaks, escape_fraction
from mlatem.settings import Detector

RESOLUTION = (45.0, 0.118)
AXIS = 0.05 + 0.005 * np.arange(2000)


def spectrum(energy_kev, natural_width_kev=0.0, **detector):
    width = np.array([natural_width_kev])
    lines = Lines("Fe", ("K-L3",), ("K",), np.array([energy_kev]), np.ones(1), width)
    response = Detector(**{"tail_depth_nm": 0, **detector})
    (group,) = line_groups(AXIS, lines, np.ones(1), RESOLUTION, response)
    return group.spectrum


@pytest.mark.parametrize("energy_kev", [2.014, 4.51, 8.64])
def test_escape_is_that_of_photons_one_by_one(energy_kev):
    random = np.random.default_rng(7)
    n = 4_000_000
    depth = random.exponential(1 / xraylib.CS_Photo(14, energy_kev), n)  # g/cm2
    share_k = 1 - 1 / xraylib.JumpFactor(14, xraylib.K_SHELL)
    emits = random.random(n) < share_k * xraylib.FluorYield(14, xraylib.K_SHELL)
    upwards = random.uniform(-1, 1, n)
    with np.errstate(divide="ignore"):
        path = np.where(upwards > 0, depth / upwards, np.inf)
    leaves = random.random(n) < np.exp(-xraylib.CS_Photo(14, 1.740) * path)
    expected = float(escape_fraction(energy_kev))
    n_escaped = np.count_nonzero(emits & leaves)
    assert n_escaped == pytest.approx(expected * n, abs=5 * np.sqrt(expected * n))


def test_escape_of_phosphorus_is_as_published():
    # Goldstein et al., Scanning Electron Microscopy and X-Ray Microanalysis (2nd ed. 1992),
    # section 5.3: about 1.8 % of the parent for P K.
    assert escape_fraction(2.014) == pytest.approx(0.018, rel=0.15)


def test_no_escape_up_to_the_edge_of_silicon():
    np.testing.assert_array_equal(escape_fraction([0.1, 0.525, 1.74, 1.838]), 0.0)


def test_escape_peak_takes_its_counts_from_the_line():
    with_escape, without = spectrum(4.51), spectrum(4.51, escape=False)
    assert with_escape.sum() == pytest.approx(without.sum(), rel=1e-9)
    escaped = np.abs(AXIS - 2.77) < 0.2
    fraction = float(escape_fraction(4.51))
    assert with_escape[escaped].sum() == pytest.approx(fraction, rel=1e-6)
    parent = np.abs(AXIS - 4.51) < 0.3
    assert with_escape[parent].sum() == pytest.approx(1 - fraction, rel=1e-6)


@pytest.mark.parametrize(("energy_kev", "depth_nm", "loss"), [(2.05, 30, 0.5), (0.525, 10, 0.9)])
def test_tail_is_that_of_photons_one_by_one(energy_kev, depth_nm, loss):
    random = np.random.default_rng(3)
    n = 2_000_000
    mu = xraylib.CS_Photo(14, energy_kev) * 2.329 * 1e-7  # per nm
    kept = 1 - loss * np.exp(-random.exponential(1 / mu, n) / depth_nm)
    sigma = np.sqrt(45.0**2 + 8 * np.log(2) * 0.118 * 3.66e3 * energy_kev * kept) / 2354.8
    pulses = random.normal(energy_kev * kept, sigma)
    edges = np.append(AXIS - 0.0025, AXIS[-1] + 0.0025)
    found = np.histogram(pulses, edges)[0].reshape(-1, 10).sum(axis=1)
    column = spectrum(energy_kev, escape=False, tail_depth_nm=depth_nm, tail_loss=loss)
    expected = n * column.reshape(-1, 10).sum(axis=1)
    # The tail is made of a few peaks: within 8 % of it where it does not end, or of chance.
    inside = AXIS.reshape(-1, 10).mean(axis=1) > energy_kev * (1 - loss) + 0.2
    tolerance = 0.08 * expected + 5 * np.sqrt(expected + 1)
    assert np.all(np.abs(found - expected)[inside] < tolerance[inside])
    peak = np.abs(AXIS - energy_kev).reshape(-1, 10).min(axis=1) < 0.1
    np.testing.assert_allclose(expected[peak].sum(), found[peak].sum(), rtol=2e-3)


def test_tails_keep_the_counts_and_are_strong_above_the_edge_of_silicon():
    tails = {}
    for energy in (1.7, 2.05, 6.4):
        column = spectrum(energy, escape=False, tail_depth_nm=10)
        assert column.sum() == pytest.approx(1, rel=1e-6)
        tails[energy] = column[energy - 0.2 > AXIS].sum()
    # The photo-absorption of silicon rises ninefold at its edge.
    assert tails[2.05] > 4 * tails[1.7]
    assert tails[2.05] > 10 * tails[6.4]


def test_without_tail_and_escape_a_line_is_one_gaussian():
    gaussian = Detector(escape=False, tail_depth_nm=0)
    peaks = detector_peaks(np.array([3.0]), np.ones(1), RESOLUTION, gaussian)
    assert peaks.area.tolist() == [1.0]
    column = spectrum(3.0, escape=False)
    fine = AXIS[:, None] + np.linspace(-0.0025, 0.0025, 2001)[None, :]
    sigma = peaks.sigma_kev[0]
    density = np.exp(-(((fine - 3.0) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))
    quadrature = np.trapezoid(density, fine, axis=1)
    # The kernel stops at six standard deviations.
    np.testing.assert_allclose(column, quadrature, atol=1e-8)
    assert column.sum() == pytest.approx(erf(6 / np.sqrt(2)), abs=1e-7)


def test_a_natural_width_widens_the_line_but_not_its_tail_and_escape_peak():
    sharp, natural = spectrum(4.51), spectrum(4.51, 0.008)
    wings = natural - sharp
    beyond = np.abs(AXIS - 4.51) > 0.3
    inside = ~beyond & (np.abs(AXIS - 4.51) < 2.0)
    # A Lorentzian of 4 eV half width, to 2 keV from its centre.
    expected = 2 / np.pi * (np.arctan(2.0 / 0.004) - np.arctan(0.3 / 0.004))
    core = 1 - float(escape_fraction(4.51))
    assert wings[beyond].sum() == pytest.approx(core * expected, rel=0.1)
    assert wings[inside].sum() < 0
    line = detector_peaks(
        np.array([4.51]), np.ones(1), RESOLUTION, Detector(), natural_width_kev=np.array([0.008])
    )
    assert line.half_width_kev[0] == 0.004
    assert not line.half_width_kev[1:].any()


def test_parts_that_are_nothing_to_their_group_stay_in_their_line():
    energy, area = np.array([2.12, 2.15, 9.7]), np.array([1.0, 1e-4, 1.0])
    alone = detector_peaks(energy, area, RESOLUTION, Detector())
    grouped = detector_peaks(energy, area, RESOLUTION, Detector(), area)
    assert grouped.area.size < alone.area.size
    for peaks in (alone, grouped):
        kept = np.bincount(peaks.line, weights=peaks.area)
        np.testing.assert_allclose(kept, area, rtol=1e-12)
    cores = [int(np.flatnonzero(grouped.line == line)[0]) for line in range(3)]
    assert np.delete(grouped.area, cores).min() > 1e-6
