# SPDX-License-Identifier: GPL-3.0-or-later
"""`mlatem.denoise` on dense spectra with gain and readout noise, against their truth."""

import numpy as np
import pytest
import xarray as xr

import mlatem
from mlatem.errors import InputError
from mlatem.settings import Denoise

GAIN, READOUT = 3.0, 20.0
SHAPE, N_ENERGY = (48, 64), 160
LOSS_EV = np.linspace(200.0, 800.0, N_ENERGY)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """Stripes of three materials on a power law, thickness varies slowly."""
    background = 2e3 * (LOSS_EV / 200.0) ** -2.5
    edges = [
        0.3 * background[40] * (edge < LOSS_EV) * (LOSS_EV / edge) ** -2 for edge in (300, 450)
    ]
    phases = np.array([background, background + edges[0], background + edges[1]])
    stripe = np.arange(SHAPE[1]) * 3 // SHAPE[1]
    thickness = 1 + 0.3 * np.sin(np.arange(SHAPE[0]) / 9.0)
    return thickness[:, None, None] * phases[stripe][None]


@pytest.fixture(scope="module")
def spectra(expected) -> np.ndarray:
    rng = np.random.default_rng(0)
    counted = GAIN * rng.poisson(expected / GAIN)
    return counted + READOUT * rng.standard_normal(expected.shape)


@pytest.fixture(scope="module")
def lowrank(spectra) -> xr.Dataset:
    return mlatem.denoise(spectra, gain=GAIN, readout_sigma=READOUT)


def error(estimate, expected) -> float:
    return float(np.mean((np.asarray(estimate) - expected) ** 2 / (GAIN * expected + READOUT**2)))


def unweighted_pca(spectra, rank) -> np.ndarray:
    left, singular, right = np.linalg.svd(spectra.reshape(-1, N_ENERGY), full_matrices=False)
    return ((left[:, :rank] * singular[:rank]) @ right[:rank]).reshape(spectra.shape)


def test_edge_finds_the_materials_and_no_more(lowrank):
    assert lowrank.sizes["axis"] == 3
    noise = np.random.default_rng(5).standard_normal((*SHAPE, N_ENERGY))
    flat = 500.0 + np.sqrt(GAIN * 500.0 + READOUT**2) * noise
    assert mlatem.denoise(flat, gain=GAIN, readout_sigma=READOUT).sizes["axis"] == 1


def test_spectra_are_nearer_to_the_truth_than_those_of_pca_and_unbiased(lowrank, spectra, expected):
    raw = mlatem.reconstruct(lowrank, smoothed=False)
    assert error(raw, expected) < error(unweighted_pca(spectra, 3), expected)
    smoothed = mlatem.reconstruct(lowrank)
    assert error(smoothed, expected) < 0.3 * error(raw, expected)
    sigma = np.sqrt(np.sum(GAIN * expected + READOUT**2, axis=(0, 1)))
    off = (np.sum(smoothed.values, axis=(0, 1)) - expected.sum(axis=(0, 1))) / sigma
    assert np.abs(off).max() < 5


def test_labels_tiles_masks_and_files_change_nothing(lowrank, spectra, tmp_path):
    cube = xr.Dataset(
        {"counts": (("y", "x", "energy_loss"), spectra)},
        coords={
            "y": np.arange(float(SHAPE[0])),
            "x": np.arange(float(SHAPE[1])),
            "energy_loss": LOSS_EV,
        },
    )
    path = tmp_path / "lowrank.zarr"
    options = {"gain": GAIN, "readout_sigma": READOUT, "tile_shape": (11, 13), "threads": 2}
    stored = mlatem.denoise(cube.chunk(y=16), path=path, **options)
    np.testing.assert_array_equal(stored["energy"], LOSS_EV)
    scale = float(abs(lowrank["scores"]).max())
    for name in ("scores", "smoothed_scores", "scale"):
        np.testing.assert_allclose(stored[name], lowrank[name], rtol=1e-6, atol=1e-6 * scale)
    gaps = cube.assign(mask=(("y", "x"), np.arange(SHAPE[0])[:, None] < 3 * np.ones(SHAPE[1])))
    masked = mlatem.reconstruct(mlatem.denoise(gaps, **options)).values
    assert np.isnan(masked[:3]).all() and np.isfinite(masked[3:]).all()


def test_what_is_missing_is_named(spectra):
    with pytest.raises(InputError, match="give gain"):
        mlatem.denoise(spectra)
    with pytest.raises(InputError, match="low_rank alone"):
        mlatem.denoise(spectra, gain=GAIN, settings=Denoise(method="binning"))
    with pytest.raises(InputError, match="not negative"):
        mlatem.denoise(spectra, gain=-1.0)
