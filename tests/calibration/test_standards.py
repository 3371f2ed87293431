# SPDX-License-Identifier: GPL-3.0-or-later
"""Factors of a standard correct the composition of another specimen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import mlatem
from mlatem import settings
from mlatem.calibration.image import calibrate_image
from mlatem.calibration.standards import calibrate_factors
from mlatem.cli import app
from mlatem.errors import ConfigError, InputError
from mlatem.io.factor_tables import read_factor_table
from mlatem.model import Acquisition, FactorTable, SpectrumImage
from mlatem.model.calibration import Estimate
from mlatem.physics.atomic import atomic_weight
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.physics.factor_units import detected_cross_section_barn
from mlatem.steps.factors import parse_composition

ENERGY = -0.2 + 0.01 * np.arange(1800)
#: True intensities over the computed ones.
WRONG = {"O K": 1.3, "Ti K": 0.9, "Ti L": 1.4, "Sr K": 1.1, "Sr L": 0.75}
STANDARD = {"Sr": 0.2, "Ti": 0.2, "O": 0.6}
UNKNOWN = {"Sr": 0.1, "Ti": 0.35, "O": 0.55}
MASS_THICKNESS = 4e-4
ELECTRONS = 1e11


def image(composition, *, counts=2e6, seed=0):
    """A specimen without system peaks whose lines are brighter or fainter than computed."""
    window = slice(40, ENERGY.size)
    dictionary = edxs_dictionary(
        ENERGY[window],
        elements=list(composition),
        beam_energy_kev=200.0,
        mass_thickness_kg_m2=MASS_THICKNESS,
        composition=composition,
        line_factors=WRONG,
    )
    lines = np.array([*composition.values()]) @ dictionary.columns[:3]
    background = dictionary.columns[3:].sum(axis=0)
    expected = np.zeros(ENERGY.size)
    expected[window] = 0.8 * lines / lines.sum() + 0.2 * background / background.sum()
    mean = np.broadcast_to(counts / 16 * expected, (4, 4, ENERGY.size))
    return SpectrumImage(
        counts=np.random.default_rng(seed).poisson(mean).astype(np.uint16),
        energy=ENERGY,
        y_nm=np.arange(4.0),
        x_nm=np.arange(4.0),
        acquisition=Acquisition().updated({"beam_energy_kev": 200.0}, "file"),
        name="standard",
    )


@pytest.fixture(scope="module")
def standard():
    return image(STANDARD)


def measured(standard, **options) -> FactorTable:
    return calibrate_factors(
        standard,
        composition=STANDARD,
        mass_thickness_kg_m2=MASS_THICKNESS,
        system_elements=(),
        settings=settings.Calibrate(fit=False),
        **options,
    )


def test_k_factors_of_a_standard(standard):
    table = measured(standard, reference="Ti K")
    detector = settings.Detector()

    def intensity(name):
        return detected_cross_section_barn(*name.split(), 200.0, detector) * WRONG[name]

    for factor in table.factors:
        weights = atomic_weight(factor.element) / atomic_weight("Ti")
        true = weights * intensity("Ti K") / intensity(factor.family)
        assert abs(factor.value - true) < 5 * factor.sigma + 1e-9 + 2e-3 * true
        assert factor.sigma < 0.03 * factor.value
        assert factor.source == "measured on standard"
    assert {f.family for f in table.factors} >= {"O K", "Ti K", "Sr K", "Sr L"}


def test_zeta_factors_need_and_use_the_dose(standard):
    with pytest.raises(InputError, match="dose of the standard is not known"):
        measured(standard, kind="zeta")
    zeta = measured(standard, kind="zeta", electrons=ELECTRONS)
    k = measured(standard, reference="Ti K")
    by_family = {f.family: f.value for f in zeta.factors}
    for factor in k.factors:
        ratio = by_family[factor.family] / by_family["Ti K"]
        assert factor.value == pytest.approx(ratio, rel=1e-9)
    with pytest.raises(InputError, match="needs the mass thickness"):
        calibrate_factors(
            standard,
            composition=STANDARD,
            kind="zeta",
            electrons=ELECTRONS,
            system_elements=(),
            settings=settings.Calibrate(fit=False),
        )


def test_factors_of_a_standard_correct_another_specimen(standard):
    table = measured(standard, reference="Ti K")
    unknown = image(UNKNOWN, seed=1)
    errors, sigmas = {}, {}
    for name, given in (("computed", None), ("standard", table)):
        calibration = calibrate_image(
            unknown,
            elements=list(UNKNOWN),
            system_elements=(),
            acquisition={},
            edxs=settings.Edxs(),
            settings=settings.Calibrate(fit=False),
            factor_table=given,
        )
        calibration = replace(
            calibration,
            mass_thickness_kg_m2=Estimate(MASS_THICKNESS, 0.01 * MASS_THICKNESS, "user"),
            composition=UNKNOWN,
        )
        found = mlatem.factorize(unknown, mlatem.edxs_dictionary(unknown, calibration), 1)
        frame = mlatem.quantify(found, calibration=calibration).frame.set_index("element")
        truth = 100 * np.array([UNKNOWN[e] for e in frame.index])
        errors[name] = np.abs(frame["atomic_percent"] - truth).max()
        sigmas[name] = frame["sigma_sys"].max()
        if given is not None:
            assert frame["factor_source"].str.contains("factors of standard").all()
    assert errors["computed"] > 4
    assert errors["standard"] < 0.5
    assert sigmas["standard"] < 0.5 * sigmas["computed"]


def test_a_table_that_lacks_an_element_is_refused(standard):
    table = measured(standard, reference="Ti K")
    short = FactorTable(tuple(f for f in table.factors if f.element != "O"), "short.csv")
    with pytest.raises(InputError, match=r"short.csv: no factor for O: .*--elements O"):
        mlatem.calibrate(standard, list(STANDARD), system_elements=(), factor_table=short)
    with pytest.raises(InputError, match="no factor for a beam energy of 80"):
        mlatem.calibrate(
            standard, list(STANDARD), system_elements=(), beam_energy_kev=80.0, factor_table=table
        )


def test_the_reference_must_be_seen(standard):
    with pytest.raises(InputError, match="reference 'Si K' is not seen"):
        measured(standard, reference="Si K")


@pytest.mark.parametrize("text", ["", "Sr", "Sr=", "Sr=x", "Sr=-1", "Sr=0.2,,O=0.1", "O=1,O=2"])
def test_a_composition_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match="composition"):
        parse_composition(text)


def test_command_line_writes_a_table_that_is_read_back(tmp_path):
    run = CliRunner().invoke(
        app,
        ["factors", "-e", "O,Pt", "--beam-energy", "200", "-o", str(tmp_path / "k.csv")],
    )
    assert run.exit_code == 0, run.output
    table = read_factor_table(tmp_path / "k.csv")
    assert [f.family for f in table.factors] == ["O K", "Pt L", "Pt M"]
    bad = CliRunner().invoke(app, ["factors", "-e", "O", "--beam-energy", "200", "--kind", "q"])
    assert bad.exit_code == 1
