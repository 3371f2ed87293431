# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from mlatem.errors import InputError
from mlatem.physics.casnati import casnati_k_cross_section
from mlatem.physics.ionization import ionization_cross_section


@pytest.mark.parametrize(
    ("element", "beam", "ratio"),
    [
        ("Si", 60, 1.01),
        ("Fe", 60, 1.01),
        ("Cu", 60, 1.02),
        ("Si", 200, 1.10),
        ("Fe", 200, 1.07),
        ("Cu", 200, 1.06),
        ("Ag", 100, 1.15),
        ("Fe", 300, 1.09),
    ],
)
def test_ratio_to_bote_salvat(element, beam, ratio):
    """Ratios from an independent implementation of both formulas."""
    bote = ionization_cross_section(element, "K", beam)
    assert casnati_k_cross_section(element, beam) / bote == pytest.approx(ratio, abs=0.012)


def test_zero_above_the_beam_energy():
    assert casnati_k_cross_section("Pt", 60.0) == 0.0


def test_beam_energy_outside_the_range():
    with pytest.raises(InputError, match="beam energy"):
        casnati_k_cross_section("Fe", 5.0)
