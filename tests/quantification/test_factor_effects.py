# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of line intensities on their way to at%."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mlatem
from mlatem.model import Calibration, Dictionary, Factorization
from mlatem.model.calibration import Estimate
from mlatem.physics.dictionary import dictionary_on_axis, edxs_dictionary
from mlatem.physics.factors import factor_sigma
from mlatem.quantification.edxs import quantify
from mlatem.quantification.factor_effects import factor_effects
from mlatem.settings import Edxs

ENERGY = np.arange(0.4, 14.0, 0.01)
TRUTH = {"Cu": 0.5, "Ni": 0.2, "Si": 0.3}


def calibration(elements=tuple(TRUTH), **changes) -> Calibration:
    known = Estimate(200.0, None, "file")
    values = {
        "energy_offset_kev": Estimate(0.0, None, "file"),
        "energy_gain": Estimate(0.0, None, "file"),
        "noise_ev": Estimate(50.0, None, "default"),
        "fano": Estimate(0.118, None, "default"),
        "beam_energy_kev": known,
        "take_off_angle_deg": Estimate(22.0, None, "default"),
        "mass_thickness_kg_m2": Estimate(0.0, None, "default"),
        "composition": {},
        "elements": elements,
        "system_elements": (),
        "first_channel": 0,
        "stop_channel": ENERGY.size,
        "deviance_per_dof": 1.0,
    }
    return Calibration(**{**values, **changes})


def factorization(dictionary: Dictionary, amounts, n_counts=1e6) -> Factorization:
    coefficient = np.array([[*amounts, *np.full(dictionary.n_columns - len(amounts), 2.0)]])
    coefficient /= (coefficient @ dictionary.columns).sum()
    n = dictionary.n_columns
    return Factorization(
        dictionary=dictionary,
        coefficient=coefficient,
        coefficient_covariance=np.zeros((1, n, n)),
        abundance=np.full((1, 1, 1), n_counts, np.float32),
        abundance_covariance=np.zeros((1, 1, 1, 1), np.float32),
        deviance=np.zeros((1, 1), np.float32),
        dominant_counts=np.zeros((1, ENERGY.size)),
        dominant_abundance=np.zeros((1, 1)),
        loss=np.zeros(1),
        y_nm=np.zeros(1),
        x_nm=np.zeros(1),
    )


@pytest.fixture(scope="module")
def fitted():
    known = calibration()
    dictionary = dictionary_on_axis(ENERGY, known, Edxs())
    result = factorization(dictionary, TRUTH.values())
    return result, factor_effects(result, known, Edxs())


def refit(spectrum, dictionary, weight):
    weighted = dictionary.columns / weight
    return np.linalg.solve(weighted @ dictionary.columns.T, weighted @ spectrum)


def test_the_response_is_what_a_fit_does_to_a_brighter_family(fitted):
    result, effects = fitted
    dictionary, expected = result.dictionary, result.spectrum[0]
    base = result.coefficient[0]
    for place, family in enumerate(effects.families):
        changed = edxs_dictionary(
            ENERGY,
            elements=list(TRUTH),
            beam_energy_kev=200.0,
            noise_ev=50.0,
            fano=0.118,
            line_factors={family: 1.01},
        )
        found = refit(base @ changed.columns, dictionary, expected)
        change = (found - base)[:3] / base[:3] / 0.01
        np.testing.assert_allclose(-effects.response[0, :3, place], change, atol=2e-3)


def test_brighter_lines_of_all_families_lower_the_amount_by_as_much(fitted):
    _, effects = fitted
    copper = [i for i, name in enumerate(effects.families) if name.startswith("Cu ")]
    assert len(copper) == 2
    assert effects.response[0, 0, copper].sum() == pytest.approx(-1.0, abs=1e-3)
    assert effects.response[0, 1, copper].sum() == pytest.approx(0.0, abs=1e-3)


def test_an_element_is_as_well_known_as_its_lines_weigh(fitted):
    result, effects = fitted
    frame = quantify(result, effects=effects).frame.set_index("element")
    lines = frame["line_or_edge"]["Cu"]
    assert lines.startswith(("K ", "L "))
    causes = effects.causes()[0, 0]
    sigma = np.sqrt(causes @ causes)
    # Between K alone, 4 %, and L alone, 40 %.
    assert factor_sigma("Cu", "K") < sigma < factor_sigma("Cu", "L")
    share = -effects.response[0, 0]
    k, l_family = (effects.families.index(f"Cu {f}") for f in "KL")
    own = np.hypot(0.04 * share[k], 0.4 * share[l_family])
    assert own < sigma < 1.2 * own


def test_sigma_of_the_factors_is_the_scatter_for_wrong_intensities(fitted):
    result, effects = fitted
    small = 0.05
    stated = quantify(result, effects=effects).frame["sigma_sys"].to_numpy() * small
    split = dictionary_on_axis(ENERGY, calibration(), Edxs(), split="family")
    rng = np.random.default_rng(2)
    errors = rng.multivariate_normal(
        np.zeros(len(effects.families)), small**2 * effects.covariance, size=2000
    )
    base, columns = result.coefficient[0], result.dictionary.columns
    owner = [list(TRUTH).index(name.split()[0]) for name in effects.families]
    lines = split.columns[: len(owner)] * base[owner][:, None]
    spectra = base @ columns + errors @ lines
    found = np.array([refit(s, result.dictionary, result.spectrum[0]) for s in spectra])[:, :3]
    percent = 100 * found / found.sum(axis=1, keepdims=True)
    assert percent.std(axis=0) == pytest.approx(stated, rel=5 / np.sqrt(2 * 2000) + 0.02)


def test_ratios_within_a_family_are_better_known_than_the_family():
    # Pt and Au by their M lines: 50 % each, but together.
    known = calibration(("Pt", "Au"))
    energy = np.arange(0.4, 4.0, 0.01)
    dictionary = dictionary_on_axis(energy, known, Edxs())
    n = dictionary.n_columns
    coefficient = np.array([[1.0, 1.0, *np.full(n - 2, 2.0)]])
    coefficient /= (coefficient @ dictionary.columns).sum()
    result = Factorization(
        dictionary=dictionary,
        coefficient=coefficient,
        coefficient_covariance=np.zeros((1, n, n)),
        abundance=np.full((1, 1, 1), 1e6, np.float32),
        abundance_covariance=np.zeros((1, 1, 1, 1), np.float32),
        deviance=np.zeros((1, 1), np.float32),
        dominant_counts=np.zeros((1, energy.size)),
        dominant_abundance=np.zeros((1, 1)),
        loss=np.zeros(1),
        y_nm=np.zeros(1),
        x_nm=np.zeros(1),
    )
    effects = factor_effects(result, known, Edxs())
    together = quantify(result, effects=effects).frame["sigma_sys"].max()
    apart = quantify(result).frame["sigma_sys"].max()
    assert apart > 15
    assert together < 3


def test_quantify_of_the_package_weighs_the_lines(fitted):
    result, _ = fitted
    table = mlatem.quantify(result, calibration=calibration())
    assert table.frame["method"].iloc[0] == "absolute: ratios only, dose and solid angle not known"
    assert table.frame["line_or_edge"].str.contains("K").all()
    assert "mass_thickness_kg_m2" not in table.frame


def test_mass_thickness_where_the_dose_is_known(fitted):
    result, _ = fitted
    # 1e6 counts, all in one pixel that the phase dominates.
    single = Factorization(**{**vars(result), "dominant_abundance": np.full((1, 1), 1e6)})
    known = calibration(
        electrons_per_pixel=Estimate(1e9, None, "user"),
        solid_angle_sr=Estimate(0.7, None, "file"),
    )
    frame = mlatem.quantify(single, calibration=known).frame
    assert set(frame["method"]) == {"absolute"}
    atoms_barn = 1e6 * result.coefficient[0, :3] / (1e9 * 0.7 / (4 * np.pi))
    weights = np.array([63.546, 58.693, 28.085])
    expected = (atoms_barn * 1e28 * weights * 1e-3 / 6.02214076e23).sum()
    assert frame["mass_thickness_kg_m2"].iloc[0] == pytest.approx(expected, rel=1e-3)
    assert 0 < frame["mass_thickness_sigma_kg_m2"].iloc[0] < expected


def test_factors_fitted_with_the_phases_replace_those_of_the_sum():
    known = calibration(line_factors={"Cu L3": Estimate(0.5, 0.2, "file")})
    dictionary = dictionary_on_axis(ENERGY, known, Edxs())
    result = factorization(dictionary, [TRUTH[e] for e in dictionary.elements[:3]])
    fitted = replace(result, attrs={"line_factors": {"Cu L3": [0.8, 0.02, 0.04]}})
    effects = factor_effects(fitted, known, Edxs())
    k, low = (effects.families.index(f"Cu {family}") for family in "KL")
    # Errors from counts are in the covariance of the coefficients: what the tables leave is told.
    between = effects.covariance[low, low] - effects.covariance[k, k]
    assert between == pytest.approx((0.04 / 0.8) ** 2)
    assert effects.sources[low] == "fitted against Cu K"
