# SPDX-License-Identifier: GPL-3.0-or-later
"""Which method is used, and how it is told where the dose is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import Acquisition, Factor, FactorTable
from mlatem.model.calibration import Estimate
from mlatem.physics.dose import electrons_per_pixel
from mlatem.quantification.edxs import quantify
from mlatem.quantification.methods import Method, method_of
from mlatem.quantification.verdicts import decisions, verdicts
from mlatem.settings import Quantify

K = FactorTable((Factor("Ti", "K", "k", 1.2, None, 200.0, "1", "weight", "Si", "K"),), "k.csv")
ZETA = FactorTable((Factor("Ti", "K", "zeta", 700.0, None, 200.0, "kg/m2"),), "zeta.csv")
DOSE = Estimate(1e9, None, "user")


class Known:
    """What of a calibration the method looks at."""

    def __init__(self, table=None, dose=None):
        self.factor_table, self.electrons_per_pixel = table, dose


def test_absolute_with_dose_and_solid_angle():
    found = method_of(Quantify(), Known(dose=DOSE), solid_angle_sr=0.7, solid_angle_sigma=0.1)
    assert found == Method("absolute", 1e9 * 0.7 / (4 * np.pi), 0.1)


@pytest.mark.parametrize("method", ["absolute", "zeta", "cross_section"])
@pytest.mark.parametrize(
    ("dose", "angle", "missing"),
    [(None, 0.7, "dose not known"), (DOSE, None, "solid angle"), (None, None, "dose and solid")],
)
def test_a_missing_dose_degrades_to_ratios_visibly(method, dose, angle, missing):
    found = method_of(Quantify(method=method), Known(dose=dose), solid_angle_sr=angle)
    assert found.counts_per_atom_barn is None
    assert "ratios only" in found.name
    assert missing in found.name


def test_cliff_lorimer_needs_no_dose():
    found = method_of(Quantify(method="cliff_lorimer"), Known(K), solid_angle_sr=None)
    assert found == Method("Cliff-Lorimer", None)


@pytest.mark.parametrize(
    ("method", "table", "used"),
    [("zeta", K, "k"), ("cross_section", K, "k"), ("cliff_lorimer", ZETA, "zeta")],
)
def test_factors_of_another_kind_are_refused_with_the_mend(method, table, used):
    with pytest.raises(InputError, match=rf"of kind {used}: set quantify.method to"):
        method_of(Quantify(method=method), Known(table), solid_angle_sr=None)


def test_degrading_is_a_decision_and_a_verdict_where_more_was_asked(dictionary, new_factorization):
    factorization = new_factorization(
        dictionary, [[2, 3, 1, 1, 50, 50]], np.full((1, 1, 1), 1e5), [np.eye(6) * 1e-12]
    )
    for asked in ("absolute", "zeta"):
        method = method_of(Quantify(method=asked), Known(), solid_angle_sr=None)
        table = quantify(factorization, method=method)
        (decision,) = decisions(table)
        assert "ratios of elements only" in decision.choice
        assert "beam_current_na" in decision.setting
        warned = [v for v in verdicts(table) if v.name == "method"]
        assert len(warned) == (asked == "zeta")
    assert decisions(quantify(factorization, method=Method("zeta", 1.0))) == ()


def test_dose_of_a_pixel():
    known = Acquisition().updated({"beam_current_na": 0.1, "live_time_s": 160.0}, "file")
    dose = electrons_per_pixel(known, 16)
    assert dose.value == pytest.approx(0.1e-9 * 10 / 1.602176634e-19)
    assert dose.origin == "file"
    frames = {"beam_current_na": 0.1, "dwell_time_s": 1e-3, "n_frames": 20}
    dose = electrons_per_pixel(Acquisition().updated(frames, "user"), 16)
    assert dose.value == pytest.approx(0.1e-9 * 0.02 / 1.602176634e-19)
    assert dose.origin == "user"
    for missing in ("beam_current_na", "live_time_s"):
        values = replace(known).values_by_name
        some = Acquisition({k: v for k, v in values.items() if k != missing})
        assert electrons_per_pixel(some, 16) is None
