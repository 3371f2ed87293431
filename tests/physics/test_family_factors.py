# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of factors turned into line intensities, with their covariance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem import settings
from mlatem.model import FactorTable
from mlatem.model.calibration import Estimate
from mlatem.physics.calibrated_factors import families_between
from mlatem.physics.factors import factor_covariance, factor_sigma
from mlatem.physics.family_factors import family_factors, line_factors
from mlatem.physics.standardless import STANDARDLESS, standardless_table

BEAM = {"beam_energy_kev": 200.0, "detector": settings.Detector()}
FAMILIES = ("O K", "Ti K", "Sr K", "Sr L", "Fe K", "Ba L")


def table(kind="k", sigma=0.02, scale=None, lines=(("O", "K"), ("Ti", "Ka"), ("Sr", "K"))):
    """Computed factors with a sigma, those of some elements multiplied."""
    extra = {"solid_angle_sr": 0.7} if kind != "k" else {"reference": ("Ti", "Ka")}
    rows = standardless_table(lines, kind=kind, **BEAM, **extra).factors
    return FactorTable(
        tuple(
            replace(f, value=f.value * s, sigma=sigma * f.value * s)
            for f in rows
            for s in [(scale or {}).get(f.element, 1.0)]
        ),
        "std.csv",
    )


def ratio_sigma(factors, first, second):
    i, j = factors.families.index(first), factors.families.index(second)
    c = factors.covariance
    return np.sqrt(c[i, i] + c[j, j] - 2 * c[i, j])


def test_the_prior_covariance_is_a_covariance_with_the_stated_sigmas():
    families = [
        f"{e} K" for e in ["C", "N", "O", "F", "Na", "Al", "Si", "Ca", "Ti", "Fe", "Ni", "Sr", "Mo"]
    ]
    families += [f"{e} L" for e in ["Cu", "Sr", "Ag", "Ba", "Pt", "Au"]] + ["Pt M", "Au M"]
    prior = factor_covariance(families)
    assert np.linalg.eigvalsh(prior).min() > 0
    assert np.sqrt(np.diag(prior)) == pytest.approx([factor_sigma(*f.split()) for f in families])
    # Neighbours err together, families on their own.
    index = {name: i for i, name in enumerate(families)}

    def ratio(a, b):
        i, j = index[a], index[b]
        return np.sqrt(prior[i, i] + prior[j, j] - 2 * prior[i, j])

    assert 0.02 < ratio("Pt M", "Au M") < 0.06
    assert 0.02 < ratio("Fe K", "Ni K") < 0.035
    assert prior[index["Pt L"], index["Pt M"]] == 0


def test_without_table_the_factors_are_one_with_the_prior():
    factors = family_factors(FAMILIES, **BEAM)
    np.testing.assert_array_equal(factors.value, 1.0)
    np.testing.assert_allclose(factors.covariance, factor_covariance(FAMILIES))
    assert set(factors.sources) == {STANDARDLESS}
    assert line_factors(factors, ["Ti"], **BEAM) == {}


@pytest.mark.parametrize("kind", ["k", "zeta", "cross_section"])
def test_ratios_of_lines_in_the_table_are_those_of_the_table(kind):
    changed = table(kind, scale={"Sr": 1.25})
    factors = family_factors(FAMILIES, **BEAM, table=changed)
    oxygen, titanium, strontium = factors.value[:3]
    assert oxygen / titanium == pytest.approx(1.0, rel=1e-6)
    # Less intense by k and zeta, more by the cross-section.
    expected = 1.25 if kind == "cross_section" else 1 / 1.25
    assert strontium / titanium == pytest.approx(expected, rel=1e-6)
    assert factors.sources[2].startswith(f"{kind} of K in std.csv")
    # The ratio is as well known as the table's rows; for k the reference is exact.
    sigma = 0.02 if kind == "k" else 0.02 * np.sqrt(2)
    assert ratio_sigma(factors, "Sr K", "Ti K") == pytest.approx(sigma, rel=0.01)
    computed = family_factors(FAMILIES, **BEAM)
    assert ratio_sigma(computed, "O K", "Ti K") > 5 * ratio_sigma(factors, "O K", "Ti K")
    applied = line_factors(factors, ["Sr", "Ti"], **BEAM)
    assert applied["Sr K"] / applied["Ti K"] == pytest.approx(expected, rel=1e-6)


def test_absolute_factors_tell_the_solid_angle():
    factors = family_factors(FAMILIES, **BEAM, table=table("zeta"))
    assert factors.solid_angle_sr.value == pytest.approx(0.7, rel=1e-4)
    assert 0.01 < factors.solid_angle_sr.sigma / 0.7 < 0.06
    assert family_factors(FAMILIES, **BEAM, table=table()).solid_angle_sr is None


def test_one_standard_of_a_family_scales_its_neighbours():
    # Ba L 30 % stronger than computed: Cs and La L follow, to 2 to 4 %; Pt L hardly.
    lines = (("Ti", "K"), ("Ba", "L"))
    families = ("Ti K", "Ba L", "La L", "Pt L")
    factors = family_factors(
        families, **BEAM, table=table(lines=lines, scale={"Ba": 1 / 1.3}, sigma=0.01)
    )
    titanium, barium, lanthanum, platinum = factors.value
    assert barium / titanium == pytest.approx(1.3, rel=1e-6)
    assert 1.2 < lanthanum / titanium < 1.3
    assert 0.98 < platinum / titanium < 1.1
    assert 0.02 < ratio_sigma(factors, "La L", "Ti K") < 0.05
    assert ratio_sigma(factors, "Pt L", "Ti K") > 0.19
    assert factors.sources[2] == f"{STANDARDLESS}, scaled by std.csv"
    assert factors.sources[3] == STANDARDLESS


def test_a_fitted_family_shares_the_error_of_its_element():
    fitted = {"Sr L": Estimate(0.9, 0.009, "file")}
    factors = family_factors(FAMILIES, **BEAM, fitted=fitted)
    assert factors.value[3] == pytest.approx(0.9)
    assert ratio_sigma(factors, "Sr L", "Sr K") == pytest.approx(0.01)
    assert factors.sources[3] == "fitted against Sr K"
    assert line_factors(factors, ["Sr"], **BEAM, fitted=fitted) == {"Sr L": 0.9}


def test_a_table_moves_the_fitted_family_with_its_element():
    fitted = {"Sr L3": Estimate(0.9, 0.009, "file"), "Sr L2": Estimate(1.1, 0.011, "file")}
    changed = table(scale={"Sr": 1 / 1.25})
    before = family_factors(FAMILIES, **BEAM, fitted=fitted)
    factors = family_factors(FAMILIES, **BEAM, fitted=fitted, table=changed)
    applied = line_factors(factors, ["Sr", "Ti"], **BEAM, fitted=fitted)
    assert applied["Sr K"] / applied["Ti K"] == pytest.approx(1.25, rel=1e-6)
    assert applied["Sr L3"] / applied["Sr K"] == pytest.approx(0.9, rel=1e-6)
    assert applied["Sr L2"] / applied["Sr L3"] == pytest.approx(1.1 / 0.9, rel=1e-6)
    # Sub-shells that were not fitted belong to the family as well.
    assert applied["Sr L1"] / applied["Sr K"] == pytest.approx(1.0, rel=1e-6)
    assert before.value[3] < 1


def test_families_of_a_window():
    energy = np.linspace(0.35, 12.0, 1000)
    assert families_between(["O", "Sr", "Pt"], 200.0, energy) == ("O K", "Sr L", "Pt L", "Pt M")
