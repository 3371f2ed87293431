# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors and frames of X-ray maps: kept apart on request, and parts of the frames."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

import mlatem
from mlatem.errors import ConfigError, InputError, ReadError, StoreError
from mlatem.io.export import export_hspy
from mlatem.io.info import describe
from mlatem.io.layout import plan_layout
from mlatem.io.read import open_raw, read
from mlatem.io.signals import RawSignals, Split, detector_spectra
from mlatem.io.store import load_parts, load_spectrum_image, open_store, write_store
from mlatem.io.validate import validate_store
from mlatem.model import SpectrumImage
from mlatem.settings import Convert, with_frames

FOUR_DETECTORS = "hyperspy-1.7.6-wheel/fei_SI_EDS-HAADF-4detectors_2frames.emd"
TEN_FRAMES = "hyperspy-1.7.6-wheel/fei_SI_SuperX-HAADF_10frames_10x50.emd"
JEOL = "rsciio/jeol/Sample/00_View000/View000_0000006.pts"
BOTH = Convert(separate_detectors=True, separate_frames=True)


def map_of(n_energy=6):
    """A map of two detectors with counts of both that differ, of several shards' length."""
    rng = np.random.default_rng(3)
    parts = rng.poisson(0.4, (2, 5, 3, n_energy)).astype(np.uint16)
    image = SpectrumImage(
        counts=parts.sum(axis=0, dtype=np.uint16),
        energy=0.01 * np.arange(n_energy),
        y_nm=np.arange(5.0),
        x_nm=np.arange(3.0),
    )
    signals = RawSignals(
        (image,),
        detector_spectra=detector_spectra(["A", "B"], parts.sum(axis=(1, 2))),
        splits=(Split("detector", ("A", "B"), tuple(parts)),),
    )
    return signals, parts


@pytest.fixture
def real(test_data):
    def path_of(name):
        if not (test_data / name).is_file():
            pytest.skip(f"{name} is not among the test data")
        return test_data / name

    return path_of


@pytest.mark.parametrize(
    ("name", "n_detectors", "n_frames"), [(FOUR_DETECTORS, 4, 2), (TEN_FRAMES, 1, 10)]
)
def test_detectors_and_frames_add_up_to_the_map(name, n_detectors, n_frames, real, tmp_path):
    path = tmp_path / "s.zarr"
    write_store(open_raw(real(name), settings=BOTH), path, settings=BOTH)
    tree = open_store(path)
    counts = tree["edxs"]["counts"].to_numpy()
    frames = tree["edxs_frames"]["counts"]
    assert frames.dims == ("frame", "y", "x", "energy")
    assert frames["frame"].to_numpy().tolist() == list(range(1, n_frames + 1))
    np.testing.assert_array_equal(frames.sum("frame").to_numpy(), counts)
    assert np.all(frames.sum(("y", "x", "energy")) > 0)
    spectra = tree["edxs"]["detector_spectra"]
    assert spectra.dims == ("detector", "energy")
    assert spectra.sizes["detector"] == n_detectors
    np.testing.assert_array_equal(spectra.sum("detector"), counts.sum(axis=(0, 1)))
    if n_detectors > 1:
        apart = tree["edxs_detectors"]["counts"]
        np.testing.assert_array_equal(apart.sum("detector").to_numpy(), counts)
        np.testing.assert_array_equal(apart.sum(("y", "x")), spectra)
        assert apart["detector"].to_numpy().tolist() == spectra["detector"].to_numpy().tolist()
    else:
        assert "edxs_detectors" not in tree
    assert validate_store(path, deep=True) == []


def test_spectra_of_detectors_are_those_that_velox_stores(real):
    path = real(FOUR_DETECTORS)
    spectra = read(path)["edxs"]["detector_spectra"]
    reader = pytest.importorskip("rsciio.emd").file_reader
    stored = [s["data"] for s in reader(str(path), select_type="single_spectrum")]
    assert len(stored) == spectra.sizes["detector"] == 4
    found = {tuple(row) for row in spectra.to_numpy().tolist()}
    assert found == {tuple(row) for row in np.asarray(stored).tolist()}


def test_hyperspy_gets_the_map(tmp_path):
    pytest.importorskip("hyperspy.api", reason="HyperSpy is not installed")
    signals, parts = map_of()
    write_store(signals, tmp_path / "s.zarr", settings=BOTH)
    signal = mlatem.to_hyperspy(tmp_path / "s.zarr")
    np.testing.assert_array_equal(signal.data, parts.sum(axis=0))
    with pytest.raises(InputError, match="there is edxs;"):
        mlatem.to_hyperspy(tmp_path / "s.zarr", group="edxs_detectors")


def test_layout_codecs_and_attributes_are_those_of_the_map(real, tmp_path):
    path = tmp_path / "s.zarr"
    write_store(open_raw(real(FOUR_DETECTORS), settings=BOTH), path, settings=BOTH)
    root = zarr.open_group(path, mode="r")
    whole = root["edxs/counts"]
    for group in ("edxs_detectors", "edxs_frames"):
        array = root[f"{group}/counts"]
        layout = plan_layout(whole.shape)
        assert (array.chunks, array.shards) == ((1, *layout.chunks), (1, *layout.shards))
        assert array.compressors == whole.compressors
        assert array.dtype == whole.dtype
        assert root[group].attrs.asdict() == root["edxs"].attrs.asdict()
        assert array.attrs["total_counts"] == whole.attrs["total_counts"]


def test_frames_before_a_drift(real):
    path = real(TEN_FRAMES)
    frames = read(path, settings=BOTH)["edxs_frames"]["counts"].to_numpy()
    tree = read(path, settings=Convert(first_frame=3, last_frame=7, separate_frames=True))
    np.testing.assert_array_equal(tree["edxs"]["counts"], frames[2:7].sum(axis=0))
    np.testing.assert_array_equal(tree["edxs_frames"]["frame"], [3, 4, 5, 6, 7])
    details = tree["edxs"].attrs["details"]
    assert details["frames_summed"] == {"first": 3, "last": 7, "of": 10}
    assert tree["edxs"].attrs["acquisition"]["n_frames"] == {"value": 5, "origin": "file"}
    assert sum(details["counts_per_stream"]) == frames[2:7].sum()
    assert tree["edxs"]["detector_spectra"].sum() == frames[2:7].sum()


def test_frames_of_the_image_are_those_of_the_map(real):
    reader = pytest.importorskip("rsciio.emd").file_reader
    path = real(TEN_FRAMES)
    found = reader(str(path), select_type="images", load_SI_image_stack=True)
    (stack,) = [s["data"] for s in found if s["data"].ndim == 3]
    survey = read(path, settings=Convert(last_frame=4))["survey"]["haadf"]
    np.testing.assert_allclose(survey, stack[:4].mean(axis=0), rtol=1e-6)
    assert survey.attrs["n_frames_averaged"] == 4


def test_real_jeol_frames_add_up(real):
    tree = read(real(JEOL), settings=Convert(separate_frames=True))
    frames, counts = tree["edxs_frames"]["counts"], tree["edxs"]["counts"]
    region = {"y": slice(0, 64), "x": slice(64, 128)}
    some = frames.isel(region).to_numpy()
    assert len(some) > 1 and np.all(some.any(axis=(1, 2, 3)))
    np.testing.assert_array_equal(some.sum(axis=0), counts.isel(region))
    first = read(real(JEOL), settings=Convert(last_frame=1))["edxs"]["counts"]
    np.testing.assert_array_equal(some[0], first.isel(region))


@pytest.mark.parametrize("name", [TEN_FRAMES, JEOL])
def test_frames_that_are_not_there(name, real):
    with pytest.raises(ReadError, match=r"frames 1 to 99 are asked for, but the map has \d+"):
        open_raw(real(name), settings=Convert(last_frame=99))


def test_format_without_frames(real, caplog):
    path = real("nist-tutorial/core_shell.hspy")
    with pytest.raises(ReadError, match="does not tell its frames apart"):
        open_raw(path, settings=Convert(first_frame=2))
    signals = open_raw(path, settings=BOTH)
    assert signals.splits == ()
    assert "separate_frames has no effect" in caplog.text
    assert "separate_detectors has no effect" in caplog.text


def test_frames_of_the_sheet_replace_those_of_the_configuration():
    settings = with_frames(Convert(first_frame=2, last_frame=9), {"last_frame": 5})
    assert (settings.first_frame, settings.last_frame) == (2, 5)
    with pytest.raises(ConfigError, match=r"last_frame \(5\) must not lie before first_frame"):
        with_frames(Convert(first_frame=7), {"last_frame": 5})


def test_damage_to_detectors_is_named(tmp_path):
    path = tmp_path / "s.zarr"
    signals, parts = map_of()
    write_store(signals, path)
    assert validate_store(path, deep=True) == []
    root = zarr.open_group(path, mode="r+")
    root["edxs/detector_spectra"][0, 0] += 1
    root["edxs_detectors/counts"][1, 0, 0, 0] += 2
    total = int(parts.sum())
    assert validate_store(path, deep=True) == [
        f"edxs: detector_spectra add up to {total + 1} counts, but the map to {total}",
        f"edxs_detectors: counts add up to {total + 2}, but {total} were converted",
    ]


def test_detectors_that_are_not_the_map_are_refused(tmp_path):
    signals, parts = map_of()
    wrong = RawSignals(
        signals.spectrum_images, splits=(Split("detector", ("A", "B"), (parts[0], parts[0])),)
    )
    with pytest.raises(StoreError, match=r"the 2 detectors hold \d+ counts but their sum"):
        write_store(wrong, tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_spectra_of_detectors_is_in_order(tmp_path):
    signals, _ = map_of()
    write_store(RawSignals(signals.spectrum_images), tmp_path / "s.zarr")
    assert validate_store(tmp_path / "s.zarr", deep=True) == []


def test_what_works_on_maps_works_on_such_stores(tmp_path):
    path = tmp_path / "s.zarr"
    signals, parts = map_of()
    write_store(signals, path)
    image = load_spectrum_image(path)
    np.testing.assert_array_equal(image.counts[:], parts.sum(axis=0))
    with pytest.raises(StoreError, match="holds a map for each detector"):
        load_spectrum_image(path, "edxs_detectors")
    with pytest.warns(RuntimeWarning, match="consolidated"):
        plain = xr.open_zarr(path, group="edxs")
    assert plain["detector_spectra"].sel(detector="B").sum() == parts[1].sum()
    with xr.open_zarr(path, group="edxs_detectors", consolidated=False) as group:
        np.testing.assert_array_equal(group["counts"], parts)
    with xr.open_datatree(path, engine="zarr", consolidated=False) as tree:
        np.testing.assert_array_equal(tree["edxs_detectors/counts"], parts)
    export_hspy(path, tmp_path / "s.hspy")
    back = open_raw(tmp_path / "s.hspy")
    assert back.group_names == ("edxs",)
    np.testing.assert_array_equal(back.spectrum_images[0].counts[:, :, :], image.counts[:])
    described = describe(path)
    assert [s["counts_per_detector"] for s in described["signals"]] == [
        {"A": int(parts[0].sum()), "B": int(parts[1].sum())}
    ]
    assert described["signals"][0]["kept_apart"] == {"edxs_detectors": [2, 5, 3, 6]}
    json.dumps(described, allow_nan=False)
    lazy = mlatem.open(path)["edxs_detectors"]["counts"]
    assert lazy.chunks is not None


def test_parts_of_a_store_are_read_where_they_are_sliced(tmp_path):
    signals, parts = map_of()
    write_store(signals, tmp_path / "a.zarr")
    found = load_parts(tmp_path / "a.zarr")
    assert found is not None and found.dims[0] == "detector"
    assert list(found["detector"].values) == ["A", "B"]
    np.testing.assert_array_equal(found.data[1, 1:3, :, :], parts[1, 1:3])
    image = signals.spectrum_images[0]
    write_store(RawSignals((image,)), tmp_path / "b.zarr")
    assert load_parts(tmp_path / "b.zarr") is None
