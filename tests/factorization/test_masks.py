# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels that are left out: their counts change nothing, and the map is as if it ended there."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from mlatem import api
from mlatem.errors import InputError
from mlatem.model import Factorization, SpectrumImage
from mlatem.settings import Factorize

SIZE = 40
OPTIONS = Factorize(n_phases=2, n_thinnings=2)
MAPS = ("abundance", "abundance_smooth", "sigma_abundance", "deviance")


def image(counts, energy, mask=None):
    ny, nx, _ = counts.shape
    y_nm, x_nm = np.arange(ny, dtype=float), np.arange(nx, dtype=float)
    return SpectrumImage(counts, energy, y_nm, x_nm, mask=mask)


@pytest.fixture(scope="module")
def example(make_specimen):
    return make_specimen(2, 150, size=SIZE)


@pytest.fixture(scope="module")
def scattered():
    """Single pixels, a row, and a corner."""
    mask = np.random.default_rng(3).random((SIZE, SIZE)) < 0.04
    mask[17] = True
    mask[:6, -7:] = True
    return mask


def factorized(example, counts, mask, **options):
    return api.factorize(
        image(counts, example.dictionary.energy, mask),
        example.dictionary,
        settings=OPTIONS,
        **options,
    )


@pytest.fixture(scope="module")
def result(example, scattered):
    return factorized(example, example.counts, scattered)


def test_what_masked_pixels_hold_changes_nothing(example, scattered, result):
    wild = example.counts.astype(np.float64)
    wild[scattered] = np.nan
    other = factorized(example, wild, scattered)
    for name in ("coefficient", "spectrum", "dominant_counts", *MAPS):
        np.testing.assert_array_equal(other[name], result[name])


@pytest.mark.parametrize("tile_shape", [(7, 9), (64, 128)])
def test_tiles_change_nothing(example, scattered, result, tile_shape):
    other = factorized(example, example.counts, scattered, tile_shape=tile_shape, threads=2)
    for name in ("coefficient", "spectrum", *MAPS):
        np.testing.assert_allclose(other[name], result[name], rtol=1e-6, atol=1e-9)


def test_masked_rows_are_as_rows_that_are_not_there(example):
    """The last rows: the index of the other pixels, which keys all random choices, stays."""
    n_rows = 27
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[n_rows:] = True
    masked = factorized(example, example.counts, mask)
    cut = factorized(example, example.counts[:n_rows], None)
    for name in ("coefficient", "coefficient_covariance", "spectrum", "dominant_counts"):
        np.testing.assert_allclose(masked[name], cut[name], rtol=1e-6, atol=1e-12)
    for name in MAPS:
        kept = masked[name].isel(y=slice(0, n_rows))
        np.testing.assert_allclose(kept, cut[name], rtol=1e-6, atol=1e-6)
    table, of_cut = (api.quantify(found).frame for found in (masked, cut))
    np.testing.assert_allclose(table["area_fraction"], of_cut["area_fraction"])
    np.testing.assert_allclose(table["atomic_percent"], of_cut["atomic_percent"], rtol=1e-6)
    assert masked.attrs["details"] == cut.attrs["details"]


def test_masked_pixels_are_nan_in_every_map(example, scattered, result):
    for name in MAPS:
        missing = np.isnan(result[name]).values
        assert np.all(missing[scattered])
    assert not np.isnan(result["abundance"].values[~scattered]).any()
    lowrank = api.denoise(
        image(example.counts, example.dictionary.energy, scattered), example.dictionary
    )
    missing = np.isnan(lowrank["scores"].values)
    np.testing.assert_array_equal(missing.any(axis=2), scattered)
    assert np.isnan(api.reconstruct(lowrank.isel(y=17, x=3))).all()
    maps = api.quantify_pixels(result)
    assert np.isnan(maps["atomic_percent"].values[scattered]).all()
    assert np.all(maps["phase"].values[scattered] == 0)
    np.testing.assert_array_equal(maps["mask"], scattered)


def test_the_record_keeps_the_mask(scattered, result):
    record = Factorization.from_dataset(result)
    np.testing.assert_array_equal(record.mask, scattered)
    assert not record.abundance[scattered].any()
    assert record.to_dataset().identical(result)


def test_shares_of_the_area_are_of_the_pixels_that_are_used(result):
    table = api.quantify(result).frame.drop_duplicates("phase")
    assert table["area_fraction"].sum() == pytest.approx(1.0, abs=0.01)


def test_rare_phases_are_not_looked_for_in_masked_pixels(example, scattered, result):
    counts = example.counts.copy()
    channel = int(np.argmin(np.abs(example.dictionary.energy - 3.69)))
    counts[scattered, channel - 2 : channel + 3] += 40
    masked = image(counts, example.dictionary.energy, scattered)
    found = api.find_rare_phases(masked, result)
    assert found.sizes["candidate"] == 0
    np.testing.assert_array_equal(np.isnan(found["excess"]), scattered)
    everywhere = api.find_rare_phases(
        image(counts, example.dictionary.energy), factorized(example, example.counts, None)
    )
    assert everywhere.sizes["candidate"] > 0


def test_masked_arrays(example, scattered, result):
    every = np.repeat(scattered[..., None], example.counts.shape[2], axis=2)
    counts = np.ma.masked_array(example.counts, every)
    found = api.factorize(counts, example.dictionary, settings=OPTIONS)
    np.testing.assert_array_equal(found["abundance"], result["abundance"])
    counts.mask[17, 4, 5] = False
    with pytest.raises(InputError, match="mask whole pixels"):
        api.factorize(counts, example.dictionary, settings=OPTIONS)


def test_a_variable_of_labelled_data_is_the_mask(example, scattered, result):
    """In any order of its dimensions."""
    ny, nx, _ = example.counts.shape
    data = xr.Dataset(
        {
            "counts": (("y", "x", "energy"), example.counts),
            "mask": (("x", "y"), scattered.T.astype(np.uint8)),
        },
        coords={"y": np.arange(ny), "x": np.arange(nx), "energy": example.dictionary.energy},
    )
    found = api.factorize(data, example.dictionary, settings=OPTIONS)
    np.testing.assert_array_equal(found["abundance"], result["abundance"])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((3, 4), dtype=bool), r"shape \(3, 4\), but the map has 40 rows and 40 columns"),
        (np.ones((SIZE, SIZE), dtype=bool), "leaves out all 1600 pixels"),
        (np.zeros((SIZE, SIZE)), "of type float64"),
    ],
)
def test_masks_that_cannot_be_used(example, mask, message):
    with pytest.raises(InputError, match=message):
        image(example.counts, example.dictionary.energy, mask)
