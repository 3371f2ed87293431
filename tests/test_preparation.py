# SPDX-License-Identifier: GPL-3.0-or-later
"""Cropping, sums of channels and masks on the way from a raw file to a store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlatem.errors import ConfigError, InputError
from mlatem.io.cut_views import BinnedCounts, CroppedCounts
from mlatem.io.signals import RawSignals, Split, detector_spectra
from mlatem.io.store import load_spectrum_image, open_store, write_store
from mlatem.io.validate import validate_store
from mlatem.model import Acquisition, SpectrumImage, Value
from mlatem.physics.dose import electrons_per_pixel
from mlatem.preparation import decisions_of, prepare, verdicts_of
from mlatem.preparation.spikes import CountsWithoutSpikes
from mlatem.settings import Preprocess, parse, with_crop
from mlatem.sheet import DatasetRow
from mlatem.steps.check import check_campaign
from mlatem.steps.export import export

SHAPE = (150, 70, 101)
WHOLE = Preprocess(bad_pixels="none")


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.7, SHAPE).astype(np.uint8)


def image_of(counts, **options):
    ny, nx, n_energy = counts.shape
    options.setdefault("energy", 0.01 * np.arange(n_energy) - 0.1)
    return SpectrumImage(counts, y_nm=2.0 * np.arange(ny), x_nm=3.0 * np.arange(nx), **options)


@pytest.fixture
def signals(counts):
    spectra = np.stack([counts[:, ::2].sum(axis=(0, 1)), counts[:, 1::2].sum(axis=(0, 1))])
    clocks = {"live_time_s": Value(500.0, "file"), "beam_current_na": Value(1.0, "file")}
    return RawSignals(
        (image_of(counts, acquisition=Acquisition(clocks)),),
        detector_spectra=detector_spectra(("a", "b"), spectra),
    )


def stored(signals, folder, settings, mask=None):
    prepared = prepare(signals, settings, mask)
    write_store(prepared.signals, folder / "spim.zarr", review=prepared.review)
    assert validate_store(folder / "spim.zarr", deep=True) == []
    return load_spectrum_image(folder / "spim.zarr")


def test_nothing_asked_for_is_nothing_done(signals, counts, tmp_path):
    image = stored(signals, tmp_path, WHOLE)
    np.testing.assert_array_equal(image.counts, counts)
    assert image.mask is None
    assert not image.attrs
    assert decisions_of(image) == verdicts_of(image) == ()


def test_cropping(signals, counts, tmp_path):
    settings = WHOLE.model_copy(update={"crop_y": (11, 145), "crop_x": (5, 70)})
    image = stored(signals, tmp_path, settings)
    np.testing.assert_array_equal(image.counts, counts[11:145, 5:70])
    np.testing.assert_array_equal(image.y_nm, 2.0 * np.arange(11, 145))
    np.testing.assert_array_equal(image.x_nm, 3.0 * np.arange(5, 70))
    (decision,) = decisions_of(image)
    assert decision.choice == "rows 11 to 144 and columns 5 to 69 of 150 x 70 pixels"
    assert "crop_y" in decision.setting


def test_the_dose_of_a_pixel_does_not_change_by_cropping(signals, tmp_path):
    settings = WHOLE.model_copy(update={"crop_y": (0, 10)})
    image = stored(signals, tmp_path, settings)
    assert image.n_scan_pixels == SHAPE[0] * SHAPE[1]
    whole = electrons_per_pixel(signals.xray_map.acquisition, signals.xray_map.n_scan_pixels)
    assert electrons_per_pixel(image.acquisition, image.n_scan_pixels) == whole


@pytest.mark.parametrize("n_summed", [2, 4, 50])
def test_sums_of_channels_are_exact(signals, counts, tmp_path, n_summed):
    image = stored(signals, tmp_path, WHOLE.model_copy(update={"energy_bin": n_summed}))
    n_energy = SHAPE[2] // n_summed
    used = counts[..., : n_energy * n_summed].astype(int)
    groups = used.reshape(*SHAPE[:2], n_energy, n_summed)
    np.testing.assert_array_equal(image.counts, groups.sum(axis=3))
    energy = signals.xray_map.energy[: n_energy * n_summed].reshape(-1, n_summed)
    np.testing.assert_allclose(image.energy, energy.mean(axis=1))
    spectra = open_store(tmp_path / "spim.zarr")["edxs"]["detector_spectra"]
    np.testing.assert_array_equal(spectra.sum("detector"), groups.sum(axis=(0, 1, 3)))


def test_sums_that_need_more_bits(tmp_path):
    counts = np.full((3, 4, 8), 255, dtype=np.uint8)
    image = stored(
        RawSignals((image_of(counts),)), tmp_path, WHOLE.model_copy(update={"energy_bin": 4})
    )
    assert np.all(np.asarray(image.counts) == 4 * 255)


def test_all_at_once_and_the_parts_of_the_map(signals, counts, tmp_path):
    """The mask is drawn on the whole map; frames and losses of the same scan are cut with it."""
    first = np.random.default_rng(1).binomial(counts, 0.5).astype(np.uint8)
    losses = image_of(
        counts[..., :20].astype(np.float32), technique="eels", energy=400.0 + np.arange(20)
    )
    signals = replace(
        signals,
        spectrum_images=(*signals.spectrum_images, losses),
        splits=(Split("frame", (1, 2), (first, counts - first)),),
    )
    mask = np.random.default_rng(2).random(SHAPE[:2]) < 0.1
    settings = Preprocess(crop_y=(20, 150), crop_x=(0, 33), energy_bin=4, bad_pixels="none")
    image = stored(signals, tmp_path, settings, mask)
    np.testing.assert_array_equal(image.mask, mask[20:150, :33])
    tree = open_store(tmp_path / "spim.zarr")
    np.testing.assert_array_equal(tree["edxs_frames"]["counts"].sum("frame"), image.counts)
    np.testing.assert_array_equal(tree["eels_core"]["counts"], losses.counts[20:150, :33])
    assert "mask" not in tree["eels_core"]
    (verdict,) = verdicts_of(image)
    assert verdict.value == pytest.approx(100 * mask[20:150, :33].mean())
    assert verdict.status == "good"


def test_bad_pixels_join_the_mask_that_is_given(signals, counts, tmp_path):
    counts[60, 30] = counts[149, 69] = 0
    mask = np.zeros(SHAPE[:2], dtype=bool)
    mask[3, 4] = True
    image = stored(signals, tmp_path, Preprocess(), mask)
    mask[60, 30] = mask[149, 69] = True
    np.testing.assert_array_equal(image.mask, mask)
    np.testing.assert_array_equal(image.counts, counts)
    (decision,) = decisions_of(image)
    assert decision.choice == "2 dead pixels masked"
    assert decision.setting == "preprocess.bad_pixels"


def test_views_give_any_region(counts):
    cropped = CroppedCounts(counts, slice(10, 90), slice(3, 60))
    np.testing.assert_array_equal(cropped[2:7, :, 5:9], counts[12:17, 3:60, 5:9])
    binned = BinnedCounts(cropped, 10)
    expected = np.asarray(cropped)[..., :100].reshape(80, 57, 10, 10).sum(axis=3)
    np.testing.assert_array_equal(np.asarray(binned), expected)
    np.testing.assert_array_equal(binned[3:5, 1:4, 2:9], expected[3:5, 1:4, 2:9])


@pytest.mark.parametrize(
    ("settings", "mask", "message"),
    [
        ({"crop_y": (0, 151)}, None, "crop_y keeps 0 to 151, but the map has 150"),
        ({"crop_x": (69, 71)}, None, "crop_x keeps 69 to 71, but the map has 70"),
        ({"energy_bin": 64}, None, "101 channels cannot be summed 64 at a time"),
        ({}, np.zeros((70, 150), dtype=bool), "150 rows and 70 columns"),
        ({}, np.ones((150, 70), dtype=bool), "leaves out all 10500 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(signals, settings, mask, message):
    with pytest.raises(InputError, match=message):
        prepare(signals, Preprocess(**settings), mask)


def test_rows_of_the_sample_sheet_take_precedence():
    row = DatasetRow.from_strings(
        {"dataset": "a", "path": "b", "crop_x": "10:200", "mask": "m.png"}
    )
    settings = with_crop(Preprocess(crop_y=(0, 7), crop_x=(1, 2)), row.crop)
    assert (settings.crop_y, settings.crop_x, row.mask) == ((0, 7), (10, 200), "m.png")


@pytest.mark.parametrize("cell", ["10", "10-200", "-3:7", "7:7", "9:3", "a:b", ":8"])
def test_cells_that_are_no_range(cell):
    with pytest.raises(ConfigError, match=r"dataset a: crop_y: .*10:200"):
        DatasetRow.from_strings({"dataset": "a", "path": "b", "crop_y": cell})


@pytest.mark.parametrize("ends", [[3, 3], [-1, 5], [1], [1.5, 7]])
def test_configurations_that_are_no_range(ends):
    with pytest.raises(ConfigError, match=r"preprocess\.crop_x"):
        parse({"preprocess": {"crop_x": ends}})


def test_a_mask_that_does_not_fit_is_seen_before_the_campaign_runs(counts, tmp_path):
    write_store(RawSignals((image_of(counts),)), tmp_path / "spim.zarr")
    export(tmp_path / "spim.zarr", tmp_path / "raw.hspy")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("preprocess:\n  crop_y: [0, 200]\n")
    np.save(tmp_path / "mask.npy", np.ones((3, 4)))
    head = "dataset\tpath\tbeam_energy_kev\tcrop_y\tmask\n"
    rows = [
        "wide\traw.hspy\t200\t\t",
        "odd\traw.hspy\t200\t0:90\tmask.npy",
        "none\traw.hspy\t200\t0:90\tx.npy",
    ]
    (tmp_path / "config/datasets.tsv").write_text(head + "\n".join(rows))
    wide, odd, none = check_campaign(tmp_path).problems
    assert "wide: " in wide
    assert "crop_y keeps 0 to 200" in wide
    assert "the mask has shape (3, 4)" in odd
    assert "no such mask" in none


@pytest.fixture
def spiked(counts):
    """Counts with spikes, some of them at the borders of shards, and where they are."""
    counts = counts.astype(np.uint16)
    places = [(0, 0, 3), (127, 40, 50), (128, 40, 99), (149, 69, 0), (60, 10, 51), (61, 11, 51)]
    for place in places:
        counts[place] = 300
    return counts, places


def test_spikes_are_replaced_and_kept_in_the_details(spiked, tmp_path):
    counts, places = spiked
    settings = WHOLE.model_copy(update={"spikes": True})
    image = stored(RawSignals((image_of(counts),)), tmp_path, settings)
    table = image.attrs["preprocess"]["spikes"]
    assert sorted(tuple(row[:3]) for row in table) == sorted(places)
    found = np.asarray(image.counts).astype(int)
    assert found.max() < 20
    for *place, value, replacement in table:
        assert (value, replacement) == (300, found[tuple(place)])
        assert replacement <= 2
        found[tuple(place)] = value
    np.testing.assert_array_equal(found, counts)
    (verdict,) = verdicts_of(image)
    assert (verdict.value, verdict.status) == (6, "good")


@pytest.mark.parametrize("step", [(7, 9, 13), (1, 1, 1000), (150, 70, 5)])
def test_regions_change_nothing(spiked, step):
    counts, places = spiked
    whole = CountsWithoutSpikes(counts, 0.01)
    expected = np.asarray(whole)
    assert set(whole.found) == set(places)
    parts = CountsWithoutSpikes(counts, 0.01)
    for y in range(100, 150, step[0]):
        for x in range(30, 50, step[1]):
            for c in range(0, SHAPE[2], step[2]):
                region = tuple(slice(a, a + n) for a, n in zip((y, x, c), step, strict=True))
                np.testing.assert_array_equal(parts[region], expected[region])


def test_spikes_are_looked_for_before_channels_are_summed(spiked, tmp_path):
    counts, places = spiked
    settings = Preprocess(crop_y=(60, 150), energy_bin=4, spikes=True, bad_pixels="none")
    image = stored(RawSignals((image_of(counts),)), tmp_path, settings)
    kept = sorted((y - 60, x, c) for y, x, c in places if y >= 60)
    assert sorted(tuple(r[:3]) for r in image.attrs["preprocess"]["spikes"]) == kept
    assert np.asarray(image.counts).max() < 40


def test_spikes_where_frames_are_stored_apart(counts):
    signals = RawSignals((image_of(counts),), splits=(Split("frame", (1,), (counts,)),))
    with pytest.raises(InputError, match="spikes cannot be replaced"):
        prepare(signals, WHOLE.model_copy(update={"spikes": True}))
