# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.physics.dictionary import edxs_dictionary
from mlatem.simulation.specimen import poisson_counts, simulate
from mlatem.specimen import Simulate

PHASES = (
    {"name": "glass", "atomic_percent": {"O": 66.7, "Si": 33.3}, "density_g_cm3": 2.2},
    {
        "name": "metal",
        "atomic_percent": {"Fe": 70, "Ni": 30},
        "shape": {"kind": "particles", "number": 3, "radius_nm": 20},
    },
)


def specimen(**changes):
    values = {
        "phases": PHASES,
        "n_rows": 24,
        "n_columns": 20,
        "n_channels": 1024,
        "channel_ev": 10.0,
        "seed": 3,
        "thickness": {"mean_nm": 60, "wedge": 0.5},
    }
    return Simulate.model_validate({**values, **changes})


def with_physics(**changes):
    return specimen(physics=changes)


def spectra(settings):
    return simulate(settings).truth["spectrum"]


def test_same_seed_same_simulation():
    first, second = simulate(specimen()), simulate(specimen())
    np.testing.assert_array_equal(first.image.counts, second.image.counts)
    np.testing.assert_array_equal(first.haadf, second.haadf)
    assert first.truth.identical(second.truth)
    other = simulate(specimen(), seed=4)
    assert other.seed == other.truth.attrs["seed"] == 4
    assert np.any(other.image.counts != first.image.counts)


def test_shapes_axes_and_types():
    simulation = simulate(specimen(pixel_nm=2.5))
    image = simulation.image
    assert image.shape == (24, 20, 1024)
    assert image.counts.dtype == np.uint8
    assert image.acquisition.number("beam_energy_kev") == 200
    np.testing.assert_allclose(image.energy[[0, -1]], [-0.2, -0.2 + 10.23])
    np.testing.assert_allclose(simulation.haadf["x"], 2.5 * np.arange(20))
    assert simulate(specimen(counts_per_pixel=3e5)).image.counts.dtype == np.uint16


def test_truth_adds_up():
    simulation = simulate(specimen())
    truth = simulation.truth
    np.testing.assert_allclose(truth["volume_fraction"].sum("phase"), 1)
    np.testing.assert_allclose(truth["atomic_percent"].sum("element"), 100)
    np.testing.assert_allclose(truth["spectrum"].sum("energy"), 1)
    assert float(truth["thickness"].mean()) == pytest.approx(60)
    expected = float(truth["expected_counts"].sum(("y", "x", "phase")))
    assert expected == pytest.approx(100 * 24 * 20)


def test_atoms_per_area_of_iron():
    iron = ({"name": "iron", "atomic_percent": {"Fe": 100}, "density_g_cm3": 7.874},)
    truth = simulate(specimen(phases=iron, thickness={"mean_nm": 10})).truth
    # Body-centred cubic: two atoms in a cell of 0.28665 nm.
    assert float(truth["atoms_per_area"].mean()) == pytest.approx(20 / 0.28665**3, rel=2e-3)


def test_counts_are_poisson_around_their_expectation():
    simulation = simulate(specimen(counts_per_pixel=400))
    mean = simulation.truth["expected_counts"].sum("phase").values
    total = simulation.image.counts.sum(axis=2)
    z = (total - mean) / np.sqrt(mean)
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert z.var() == pytest.approx(1, abs=5 * np.sqrt(2 / z.size))
    by_phase = simulation.truth["expected_counts"].values.sum(axis=(0, 1))
    shape = by_phase @ simulation.truth["spectrum"].values
    seen = simulation.image.counts.sum(axis=(0, 1))
    assert np.all(np.abs(seen - shape) < 5.5 * np.sqrt(shape) + 5)


class OneRow:
    """Means whose rows are drawn one at a time."""

    def __init__(self, mean):
        self.mean = mean
        self.amount = np.zeros((2, *mean.shape[:1], 1))
        self.spectra = np.zeros((1, 1, mean.shape[1]))

    def row(self, y):
        return self.mean * (1 + 999 * y)


def test_type_of_counts_grows_and_keeps_earlier_rows():
    counts = poisson_counts(OneRow(np.full((3, 4), 100.0)), seed=0)
    assert counts.dtype == np.uint32
    assert counts[0].max() < 256
    assert counts[1] == pytest.approx(1e5, rel=0.05)


def test_spectra_agree_with_the_dictionary_that_fits_them():
    settings = with_physics(
        absorption=False, continuum_fraction=0.0, system_fraction={}, axis_offset_ev=7.0
    )
    truth = simulate(settings).truth
    dictionary = edxs_dictionary(
        truth["energy"].values, elements=settings.elements, beam_energy_kev=200.0
    )
    columns = dictionary.columns[: len(settings.elements)]
    expected = truth["atomic_percent"].values @ columns
    expected /= expected.sum(axis=1, keepdims=True)
    # The dictionary leaves parts of tails below a millionth of their family in their lines.
    np.testing.assert_allclose(truth["spectrum"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"ionization": "casnati"},
        {"family_sigma": {"K": 0.1}},
        {"continuum": "power"},
        {"continuum_fraction": 0.1},
        {"absorption": False},
        {"system_fraction": {}},
        {"axis_offset_ev": 5.0},
        {"axis_gain": 1e-3},
        {"detector": {"noise_ev": 70.0}},
        {"detector": {"fano": 0.13}},
    ],
)
def test_each_switch_changes_the_spectra(changes):
    before, after = spectra(with_physics()).values, spectra(with_physics(**changes)).values
    assert np.abs(before - after).sum(axis=1).max() > 1e-3


def test_absorption_grows_with_the_phase_and_the_thickness():
    oxygen = {"energy": slice(0.4, 0.65)}
    share = {
        nm: spectra(specimen(thickness={"mean_nm": nm})).sel(**oxygen).sum("energy")
        for nm in (1.0, 60.0, 300.0)
    }
    glass = [float(share[nm].sel(phase="glass")) for nm in share]
    assert glass[0] > glass[1] > glass[2]


def test_copper_of_the_grid_has_its_share():
    settings = with_physics(system_fraction={"Cu": 0.05}, continuum_fraction=0.0)
    truth = spectra(settings)
    copper = truth.sel(energy=slice(7.8, 9.2)).sum("energy") + truth.sel(
        energy=slice(0.72, 1.2)
    ).sum("energy")
    assert float(copper.sel(phase="glass")) == pytest.approx(0.05 / 1.05, rel=0.05)


def test_haadf_is_brighter_where_there_is_metal():
    simulation = simulate(specimen())
    metal = simulation.truth["volume_fraction"].sel(phase="metal").values > 0.5
    assert simulation.haadf.values[metal].mean() > 2 * simulation.haadf.values[~metal].mean()


def test_negative_seed():
    with pytest.raises(InputError, match="seed is -1"):
        simulate(specimen(), seed=-1)


def test_axis_without_lines():
    with pytest.raises(
        InputError, match="no line of O, Si, Fe, Ni falls on the energy axis from 3"
    ):
        simulate(specimen(first_channel_kev=30.0))


def test_element_without_x_rays():
    phase = {"name": "hydride", "atomic_percent": {"Ti": 50, "H": 50}}
    with pytest.raises(InputError, match="H emits no X-ray"):
        simulate(specimen(phases=(phase,)))


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "grains"},
        {"kind": "layer", "waviness_nm": 3},
        {"kind": "gradient"},
        {"kind": "particles", "number": 2, "embedded": False},
    ],
)
def test_every_shape(shape):
    phases = (PHASES[0], {**PHASES[1], "shape": shape})
    fraction = simulate(specimen(phases=phases)).truth["volume_fraction"].sel(phase="metal")
    assert 0 < float(fraction.mean()) < 1


def test_map_of_one_pixel():
    settings = specimen(n_rows=1, n_columns=1, phases=PHASES[:1], counts_per_pixel=1e4)
    simulation = simulate(settings)
    assert simulation.image.counts.sum() == pytest.approx(1e4, rel=0.05)
