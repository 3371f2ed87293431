# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of mass thickness: absolute with a dose, else with the mean, else relative."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.model import Calibration, Estimate
from mlatem.physics.atomic import atomic_weight
from mlatem.quantification.mass_thickness import mass_thickness_map

ELECTRONS, SOLID_ANGLE = 4e8, 0.7
#: Fe2O3 and SiO2, atoms per barn of the columns.
ATOMS = np.array([[2, 3, 0, 0, 0, 0], [0, 2, 1, 0, 0, 0.0]])
WEIGHT = [atomic_weight(element) for element in ("Fe", "O", "Si")]


def calibration(mass_thickness=0.0):
    nothing = Estimate(0.0, None, "default")
    return Calibration(
        energy_offset_kev=nothing,
        energy_gain=nothing,
        noise_ev=Estimate(50.0, None, "default"),
        fano=Estimate(0.118, None, "default"),
        beam_energy_kev=Estimate(200.0, None, "default"),
        take_off_angle_deg=Estimate(20.0, None, "default"),
        mass_thickness_kg_m2=Estimate(mass_thickness, None, "user"),
        composition={},
        elements=("Fe", "O", "Si"),
        system_elements=(),
        first_channel=0,
        stop_channel=300,
        deviance_per_dof=1.0,
    )


@pytest.fixture
def wedge(dictionary, new_factorization):
    """A wedge of two phases with known atoms per area, and a hole at its end."""
    thickness = np.array([[1.0, 2.0, 3.0, 0.0]])
    share = np.stack([np.linspace(0, 1, 4), 1 - np.linspace(0, 1, 4)], axis=-1)[None]
    per_nm2 = 1e3 * thickness[..., None] * share
    exposure = ELECTRONS * SOLID_ANGLE / (4 * np.pi)
    # Counts: molecules per barn times electrons and solid angle times counts of a molecule.
    counts_per_molecule = (ATOMS @ dictionary.columns).sum(axis=1)
    abundance = 1e-10 * per_nm2 * exposure * counts_per_molecule
    molecule = ATOMS[:, :3] @ WEIGHT
    true = per_nm2 @ molecule / 6.02214076e23 * 1e-3 / 1e-18
    return new_factorization(dictionary, ATOMS, abundance), true


def dose():
    return {"counts_per_atom_barn": ELECTRONS * SOLID_ANGLE / (4 * np.pi)}


def test_a_dose_gives_the_absolute_mass_thickness(wedge):
    factorization, true = wedge
    maps = mass_thickness_map(factorization, calibration(), **dose())
    found = maps["mass_thickness_kg_m2"]
    np.testing.assert_allclose(found.values[:, :3], true[:, :3], rtol=1e-5)
    assert np.isnan(found.values[0, 3])
    assert found.attrs["scale"] == "dose" and found.dims == ("y", "x")


def test_without_a_dose_the_mean_gives_the_scale(wedge):
    factorization, true = wedge
    maps = mass_thickness_map(factorization, calibration(5e-4))
    found = maps["mass_thickness_kg_m2"]
    expected = true * 5e-4 / true[true > 0].mean()
    np.testing.assert_allclose(found.values[:, :3], expected[:, :3], rtol=1e-5)
    assert found.attrs["scale"] == "thickness"


def test_without_both_it_is_relative_and_says_so(wedge):
    factorization, true = wedge
    maps = mass_thickness_map(factorization, calibration())
    assert "mass_thickness_kg_m2" not in maps
    found = maps["relative_mass_thickness"]
    np.testing.assert_allclose(found.values[:, :3], (true / true[true > 0].mean())[:, :3], 1e-5)
    assert found.attrs == {"units": "1", "scale": "relative"}


def test_sigma_is_that_of_the_abundances(wedge):
    factorization, _ = wedge
    maps = mass_thickness_map(factorization, calibration(), **dose())
    # Poisson counts of one phase alone: the relative sigma is one over their root.
    counts = factorization.abundance[0, 0].sum()
    ratio = maps["sigma_mass_thickness_kg_m2"] / maps["mass_thickness_kg_m2"]
    assert float(ratio[0, 0]) > 0
    only = replace(
        factorization,
        abundance_covariance=factorization.abundance[..., None]
        * np.eye(2, dtype=np.float32)
        * (np.arange(2) == 1).astype(np.float32),
    )
    ratio = mass_thickness_map(only, calibration(), **dose())
    ratio = ratio["sigma_mass_thickness_kg_m2"] / ratio["mass_thickness_kg_m2"]
    assert float(ratio[0, 0]) == pytest.approx(1 / np.sqrt(counts), rel=1e-4)


def test_an_empty_map_is_no_failure(dictionary, new_factorization):
    factorization = new_factorization(dictionary, ATOMS, np.zeros((1, 2, 2)))
    maps = mass_thickness_map(factorization, calibration())
    assert np.isnan(maps["relative_mass_thickness"]).all()
