# SPDX-License-Identifier: GPL-3.0-or-later
"""`mlatem.denoise` and `mlatem.reconstruct` on labelled data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import mlatem
from mlatem.errors import InputError
from mlatem.io.datasets import load_dataset, save_dataset
from mlatem.model import Dictionary, SpectrumImage
from mlatem.settings import Convert, Denoise

N_ROWS, N_COLUMNS, N_ENERGY = 40, 48, 120
SPECTRAL = np.linspace(0.3, 10.0, N_ENERGY)
CENTRES = {"O": 12, "Si": 30, "Ti": 50, "Fe": 75}


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    channel = np.arange(N_ENERGY)
    lines = [np.exp(-0.5 * ((channel - centre) / 2.0) ** 2) for centre in CENTRES.values()]
    columns = np.stack([*lines, np.exp(-channel / 40.0)])
    return Dictionary.from_arrays(
        columns, SPECTRAL, [*CENTRES, "continuum"], ["line"] * 4 + ["background"], [*CENTRES, None]
    )


@pytest.fixture(scope="module")
def expected(dictionary) -> np.ndarray:
    spectra = np.array([[6.0, 3, 0, 0, 0.5], [0.0, 0, 4, 4, 0.5]]) @ dictionary.columns
    spectra *= 150.0 / spectra.sum(axis=1, keepdims=True)
    left = (np.arange(N_COLUMNS) < 20)[None, :, None] * np.ones((N_ROWS, 1, 1))
    return left * spectra[0] + (1 - left) * spectra[1]


@pytest.fixture(scope="module")
def counts(expected) -> np.ndarray:
    return np.random.default_rng(4).poisson(expected).astype(np.uint8)


@pytest.fixture(scope="module")
def lowrank(counts, dictionary) -> xr.Dataset:
    return mlatem.denoise(counts, dictionary)


def test_smoothed_spectra_are_nearer_than_raw_ones(lowrank, expected):
    def error(values):
        return float(np.mean((values.values - expected) ** 2))

    smoothed, raw = mlatem.reconstruct(lowrank), mlatem.reconstruct(lowrank, smoothed=False)
    assert error(smoothed) < 0.2 * error(raw)


def test_any_part_is_lazy_and_equals_the_whole(lowrank):
    whole = mlatem.reconstruct(lowrank)
    assert whole.dims == ("y", "x", "energy") and whole.dtype == np.float32
    assert whole.chunks is not None
    eager = whole.compute()
    one = mlatem.reconstruct(lowrank.isel(y=3, x=5))
    assert one.dims == ("energy",)
    np.testing.assert_allclose(one, eager[3, 5], rtol=1e-5, atol=1e-6)
    tile = mlatem.reconstruct(lowrank.isel(y=slice(4, 9), x=slice(7, 20)))
    np.testing.assert_allclose(tile, eager[4:9, 7:20], rtol=1e-5, atol=1e-6)
    maps = mlatem.reconstruct(lowrank.sel(energy=slice(6.0, 7.0)))
    np.testing.assert_allclose(maps, eager.sel(energy=slice(6.0, 7.0)), rtol=1e-5, atol=1e-6)
    single = mlatem.reconstruct(lowrank.isel(energy=75))
    np.testing.assert_allclose(single, eager[..., 75], rtol=1e-5, atol=1e-6)


def test_product_survives_a_file(lowrank, tmp_path):
    save_dataset(lowrank, tmp_path / "lowrank.zarr")
    again = load_dataset(tmp_path / "lowrank.zarr")
    xr.testing.assert_identical(
        mlatem.reconstruct(again).compute(), mlatem.reconstruct(lowrank).compute()
    )
    assert [v["name"] for v in again.attrs["verdicts"]] == [
        "axes outside the dictionary",
        "elements in few pixels",
        "held-out chi-square per voxel",
    ]


def test_without_smoothing_scores_are_what_is_looked_at(counts, dictionary, lowrank):
    plain = mlatem.denoise(counts, dictionary, settings=Denoise(spatial="none", held_out=False))
    assert "smoothed_scores" not in plain and len(plain.attrs["verdicts"]) == 2
    np.testing.assert_allclose(
        mlatem.reconstruct(plain), mlatem.reconstruct(lowrank, smoothed=False), rtol=1e-5
    )
    with pytest.raises(InputError, match="no smoothed_scores"):
        mlatem.reconstruct(plain, smoothed=True)


def test_binning_adds_counts_up_exactly(counts, dictionary):
    options = Denoise(method="binning", bin_px=3, bin_channels=2, held_out=False)
    product = mlatem.denoise(counts, dictionary, settings=options)
    binned = mlatem.reconstruct(product, counts)
    blocks = counts[:39].reshape(13, 3, 16, 3, 60, 2).sum(axis=(1, 3, 5))
    np.testing.assert_array_equal(binned, blocks)
    with pytest.raises(InputError, match="give the spectrum image too"):
        mlatem.reconstruct(product)


def test_none_gives_the_counts(counts, dictionary):
    product = mlatem.denoise(counts, dictionary, settings=Denoise(method="none", held_out=False))
    cube = xr.Dataset(
        {"counts": (("y", "x", "energy"), counts)},
        coords={"y": np.arange(N_ROWS), "x": np.arange(N_COLUMNS), "energy": SPECTRAL},
    )
    lazy = cube.chunk(y=16)
    np.testing.assert_array_equal(mlatem.reconstruct(product, lazy), counts)
    assert mlatem.reconstruct(product, lazy).chunks is not None
    masked = cube.assign(mask=(("y", "x"), np.arange(N_ROWS)[:, None] < np.ones(N_COLUMNS)))
    assert not mlatem.reconstruct(product, masked)[0].any()
    image = SpectrumImage(
        cube["counts"].values, SPECTRAL, *(np.arange(float(n)) for n in (N_ROWS, N_COLUMNS))
    )
    image = replace(image, mask=masked["mask"].values.astype(bool))
    np.testing.assert_array_equal(
        mlatem.reconstruct(product, image), mlatem.reconstruct(product, masked)
    )


@pytest.mark.parametrize("options", [{"tile_shape": (7, 13)}, {"threads": 2}])
def test_tiles_and_threads_change_nothing(counts, dictionary, lowrank, options):
    other = mlatem.denoise(counts, dictionary, settings=Denoise(held_out=False), **options)
    for name in ("scores", "smoothed_scores"):
        scale = float(abs(lowrank[name]).max())
        np.testing.assert_allclose(other[name], lowrank[name], atol=1e-6 * scale)
    np.testing.assert_array_equal(other["guard"], lowrank["guard"])


def test_lazy_counts_equal_eager_ones(counts, dictionary, lowrank):
    cube = xr.Dataset(
        {"counts": (("y", "x", "energy"), counts)},
        coords={"y": np.arange(N_ROWS), "x": np.arange(N_COLUMNS), "energy": SPECTRAL},
    )
    lazy = cube.chunk(y=16, x=20, energy=50)
    other = mlatem.denoise(lazy, dictionary, settings=Denoise(held_out=False))
    np.testing.assert_array_equal(other["scores"], lowrank["scores"])


@pytest.mark.parametrize("name", ["lowrank.zarr", "lowrank.zarr.zip"])
def test_product_on_disk_is_that_in_memory(counts, dictionary, lowrank, tmp_path, name):
    stored = mlatem.denoise(counts, dictionary, path=tmp_path / name)
    assert stored["scores"].chunks is not None
    for maps in ("scores", "smoothed_scores"):
        scale = float(abs(lowrank[maps]).max())
        np.testing.assert_allclose(stored[maps], lowrank[maps], atol=1e-6 * scale)
    np.testing.assert_array_equal(stored["guard"], lowrank["guard"])
    assert set(load_dataset(tmp_path / name)) == set(lowrank)
    assert stored.attrs["verdicts"] == lowrank.attrs["verdicts"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_allclose(
        mlatem.reconstruct(stored), mlatem.reconstruct(lowrank), rtol=1e-4, atol=1e-4
    )


def test_masked_pixels_on_disk_are_nan(counts, dictionary, tmp_path):
    masked = np.zeros((N_ROWS, N_COLUMNS), dtype=bool)
    masked[3:9, 30:] = True
    cube = np.ma.masked_array(counts, np.broadcast_to(masked[..., None], counts.shape))
    in_memory = mlatem.denoise(cube, dictionary, tile_shape=(7, 11))
    stored = mlatem.denoise(cube, dictionary, path=tmp_path / "lowrank.zarr", threads=2)
    for product in (in_memory, stored):
        assert np.isnan(product["smoothed_scores"].values[masked]).all()
    np.testing.assert_allclose(stored["smoothed_scores"], in_memory["smoothed_scores"], atol=1e-4)


def test_a_guide_is_brought_onto_the_grid(counts, dictionary, lowrank):
    y, x = np.arange(-2.0, N_ROWS + 2, 0.25), np.arange(-3.0, N_COLUMNS + 3, 0.5)
    left = (x < 19.4)[None] * np.ones((y.size, 1))
    image = xr.DataArray(left, dims=("y", "x"), coords={"y": y, "x": x})
    coarse = (np.arange(N_COLUMNS) < 20)[None] * np.ones((N_ROWS, 1))
    options = Denoise(held_out=False)
    by_image = mlatem.denoise(counts, dictionary, settings=options, guide=image)
    by_array = mlatem.denoise(counts, dictionary, settings=options, guide=coarse)
    np.testing.assert_allclose(by_image["smoothed_scores"], by_array["smoothed_scores"], atol=1e-4)
    assert not np.allclose(by_array["smoothed_scores"], lowrank["smoothed_scores"], atol=1e-3)


@pytest.mark.parametrize(
    ("guide", "named"),
    [
        (np.ones((3, 4)), "the guide has shape"),
        (np.full((N_ROWS, N_COLUMNS), np.nan), "NaN or infinite"),
        (xr.DataArray(np.ones((3, 4)), dims=("y", "x")), "positions in nm"),
        (
            xr.DataArray(np.ones((2, 2)), dims=("y", "x"), coords={"y": [900, 901], "x": [0, 1]}),
            "along y",
        ),
    ],
)
def test_a_guide_that_does_not_fit_is_refused(counts, dictionary, guide, named):
    with pytest.raises(InputError, match=named):
        mlatem.denoise(counts, dictionary, guide=guide)


def test_frames_are_held_against_each_other(dictionary, expected):
    frames = np.random.default_rng(7).poisson(expected / 4, (4, *expected.shape)).astype(np.uint8)
    parts = xr.DataArray(
        frames, dims=("frame", "y", "x", "energy"), coords={"frame": [1, 2, 3, 4]}
    ).chunk(y=16)
    product = mlatem.denoise(frames.sum(axis=0, dtype=np.uint8), dictionary, parts=parts)
    message = product.attrs["verdicts"][-1]["message"]
    assert message.startswith("frames 1 and 2 against 3 and 4, the first denoised (1: noise alone)")
    with pytest.raises(InputError, match="expected \\(frame or detector"):
        mlatem.denoise(frames[0], dictionary, parts=parts.rename(frame="time"))


@pytest.mark.parametrize(
    ("file", "elements", "separate", "halves", "excess"),
    [
        (
            "fei_SI_SuperX-HAADF_10frames_10x50.emd",
            ["Ni", "Cr", "Fe", "Nb", "Mo", "Ti", "Al", "O"],
            "separate_frames",
            "frames 1 to 5 against 6 to 10",
            0.005,
        ),
        (
            "fei_SI_EDS-HAADF-4detectors_2frames.emd",
            ["Au", "Pd", "Si", "O"],
            "separate_detectors",
            "detectors SuperXG21 and SuperXG22 against SuperXG24 and SuperXG23",
            0.02,
        ),
    ],
)
def test_frames_and_detectors_of_real_files_agree(
    test_data, tmp_path, file, elements, separate, halves, excess
):
    """Independent halves of real maps differ by little more than noise, once denoised."""
    store = tmp_path / "spim.zarr"
    path = test_data / "hyperspy-1.7.6-wheel" / file
    mlatem.convert(path, store, settings=Convert(**{separate: True}))
    tree = mlatem.open(store)
    calibration = mlatem.calibrate(tree, elements)
    dictionary = mlatem.edxs_dictionary(tree, calibration)
    product = mlatem.denoise(tree, dictionary, calibration=calibration)
    (verdict,) = (v for v in product.attrs["verdicts"] if "held-out" in v["name"])
    assert verdict["message"].startswith(halves)
    # Noise alone is 1; as they are, the first halves have a noise of their own.
    assert abs(verdict["value"] - 1.0) < excess
    assert verdict["threshold"] > 1.8
