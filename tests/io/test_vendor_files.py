# SPDX-License-Identifier: GPL-3.0-or-later
"""Real vendor files: the arrays of the manifest, metadata, and damaged copies."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from mlatem.errors import MlatemError, ReadError
from mlatem.io.formats.bruker import check_sum, has_overflow
from mlatem.io.info import describe
from mlatem.io.read import open_raw, read
from mlatem.io.store import (
    load_original_metadata,
    load_spectrum_image,
    load_survey,
    write_store,
)

FOUR_DETECTORS = "hyperspy-1.7.6-wheel/fei_SI_EDS-HAADF-4detectors_2frames.emd"
SUPER_X = "hyperspy-1.7.6-wheel/fei_SI_SuperX-HAADF_10frames_10x50.emd"
EELS_EDS = "rsciio/emd/velox_EELS_EDS/example_velox_EELS_EDS.emd"

MAPS = [
    FOUR_DETECTORS,
    SUPER_X,
    "hyperspy-1.7.6-wheel/fei_emd_si.emd",
    "rsciio/emd/velox_emd_version11/Test SI 16x16 215 kx.emd",
    "rsciio/bruker/16x16_12bit_packed_8bit.bcf",
    "rsciio/bruker/P45_the_default_job.bcf",
    "rsciio/bruker/bcf_v2_50x50px.bcf",
    "rsciio/bruker/over16bit.bcf",
    "bcf-testing-samples/4on3_full.bcf",
    "bcf-testing-samples/P45_12bit_packed_8bit.bcf",
    "bcf-testing-samples/P45_12bit_packed_8bit_compressed.bcf",
    "openNCEM/L2083_tilt_0.bcf",
    "espm/88_ES-LP_G8_selection2_cropped2.hspy",
    "nist-tutorial/core_shell.hspy",
    "rsciio/ripple/test_ripple_sdim-1_ndim-2_uint16_meta.rpl",
]


def open_map(test_data, name, **overrides):
    path = test_data / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the test data")
    return open_raw(path, acquisition_overrides=overrides)


def counts_of(signals):
    return np.asarray(signals.spectrum_images[0].counts[:, :, :])


@pytest.fixture(scope="module")
def manifest(test_data):
    files = json.loads((test_data / "manifest.json").read_text())["files"]
    return {entry["file"]: entry for entry in files}


@pytest.mark.parametrize("name", MAPS)
def test_counts_are_those_of_the_manifest_and_survive_the_store(
    name, test_data, manifest, tmp_path
):
    signals = open_map(test_data, name)
    counts = counts_of(signals)
    (expected,) = [s for s in manifest[name]["signals"] if len(s["shape"]) == 3]
    assert list(counts.shape) == expected["shape"]
    assert int(counts.sum(dtype=np.uint64)) == expected["sum"]
    stored_as = np.ascontiguousarray(counts.astype(np.dtype(expected["dtype"]).newbyteorder("<")))
    digest = hashlib.sha256(stored_as.tobytes()).hexdigest()
    assert digest == expected["sha256_c_order_little_endian"]
    assert signals.sources[0]["sha256"] == manifest[name]["sha256"]

    store = tmp_path / "spim.zarr"
    write_store(signals, store)
    group = signals.group_names[0]
    image = load_spectrum_image(store, group)
    np.testing.assert_array_equal(image.counts[:], counts)
    assert image.acquisition == signals.spectrum_images[0].acquisition
    assert image.counts.attrs["total_counts"] == expected["sum"]
    assert image.counts.dtype == np.min_scalar_type(int(counts.max()))
    assert set(load_original_metadata(store)) == set(signals.original_metadata)
    assert str(test_data) not in (store / "zarr.json").read_text()
    with xr.open_zarr(store, group=group, consolidated=False) as opened:
        assert opened["counts"].shape == counts.shape
    described = describe(store)["signals"][0]
    assert described["total_counts"] == expected["sum"]


def test_velox_map_beside_a_survey_of_another_size(test_data, manifest):
    signals = open_map(test_data, EELS_EDS)
    counts = counts_of(signals)
    assert counts.shape == (16, 20, 4096)
    spectra = [s["sum"] for s in manifest[EELS_EDS]["signals"] if s["shape"] == [4096]]
    assert sorted(signals.spectrum_images[0].attrs["counts_per_stream"]) == sorted(spectra)
    assert counts.sum() == sum(spectra) == 11093
    assert np.all(counts.sum(axis=(1, 2)) > 0)
    assert {survey.shape for survey in signals.surveys} == {(16, 20), (128, 128)}


def test_velox_eels_maps_beside_the_eds_map(test_data, tmp_path):
    signals = open_map(test_data, EELS_EDS)
    assert signals.group_names == ("edxs", "eels_lowloss", "eels_core", "eels_core_2")
    write_store(signals, tmp_path / "s.zarr")
    reader = pytest.importorskip("rsciio.emd").file_reader
    found = reader(str(test_data / EELS_EDS), select_type="spectrum_image")
    expected = {s["axes"][2]["offset"]: s["data"] for s in found if s["axes"][2]["units"] == "eV"}
    edxs = load_spectrum_image(tmp_path / "s.zarr")
    totals = []
    for group in signals.group_names[1:]:
        image = load_spectrum_image(tmp_path / "s.zarr", group)
        assert image.shape == (16, 20, 2048)
        np.testing.assert_array_equal(image.counts[:], expected[image.energy[0]])
        np.testing.assert_array_equal(image.x_nm, edxs.x_nm)
        totals.append(image.counts.attrs["total_counts"])
        assert image.acquisition["convergence_mrad"].value == pytest.approx(21.434, abs=1e-3)
        assert image.acquisition["detector"].value == "Zebra"
        assert image.attrs["intensity_origin"] == 100.0
    assert totals == [65540456, 65523224, 65521751]
    assert image.attrs["exposure_s"] == 0.004
    np.testing.assert_allclose(image.energy[:2], [800.0, 800.1692])


@pytest.mark.parametrize(
    "name", [FOUR_DETECTORS, "rsciio/emd/velox_emd_version11/Test SI 16x16 215 kx.emd"]
)
def test_velox_detectors_add_up_to_the_map(name, test_data, manifest):
    per_stream = open_map(test_data, name).spectrum_images[0].attrs["counts_per_stream"]
    spectra = [s["sum"] for s in manifest[name]["signals"] if s["shape"] == [4096]]
    assert sorted(per_stream) == sorted(spectra)


def test_velox_metadata(test_data):
    image = open_map(test_data, FOUR_DETECTORS).spectrum_images[0]
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert values["beam_energy_kev"] == 200.0
    assert values["elevation_deg"] == pytest.approx(22.0)
    assert values["n_frames"] == 2
    assert values["n_detectors"] == 4
    assert values["dwell_time_s"] == 0.064
    assert values["real_time_s"] == pytest.approx(16 * 16 * 2 * 0.064, rel=1e-4)
    assert values["live_time_s"] < values["real_time_s"]
    assert values["microscope"] == "Talos"
    assert image.attrs["pixel_size_nm"] == pytest.approx([1.23401, 1.23401], rel=1e-5)
    np.testing.assert_allclose(image.energy[:2], [-1.0, -0.995])
    for name in ("azimuth_deg", "energy_resolution_ev", "solid_angle_sr"):
        assert name not in image.acquisition


def test_velox_clock_of_a_single_frame_is_not_that_of_the_map(test_data):
    image = open_map(test_data, "hyperspy-1.7.6-wheel/fei_emd_si.emd").spectrum_images[0]
    assert "live_time_s" not in image.acquisition


def test_velox_counts_behind_the_last_frame_are_told(test_data):
    assert open_map(test_data, SUPER_X).spectrum_images[0].attrs["counts_outside_frames"] == 72


def test_bruker_metadata(test_data, tmp_path):
    signals = open_map(test_data, "openNCEM/L2083_tilt_0.bcf")
    image = signals.spectrum_images[0]
    assert image.acquisition["beam_energy_kev"].value == 200.0
    assert image.acquisition["elevation_deg"].value == 18.0
    assert image.acquisition["signal_type"].origin == "default"
    assert "live_time_s" not in image.acquisition
    write_store(signals, tmp_path / "s.zarr")
    survey = load_survey(tmp_path / "s.zarr")
    assert survey.attrs["long_name"] == "HAADF"
    assert int(survey.sum(dtype=np.uint64)) == 1859134074


def test_bruker_images_keep_their_own_size_and_pixels_their_own_width(test_data):
    signals = open_map(test_data, "rsciio/bruker/bcf_v2_50x50px.bcf")
    assert [survey.shape for survey in signals.surveys] == [(50, 50), (825, 1100)]
    image = signals.spectrum_images[0]
    assert image.attrs["pixel_size_nm"] == pytest.approx([11.80808099, 12.73058731])
    np.testing.assert_allclose(image.x_nm, signals.surveys[0]["x"])


def test_bruker_and_ripple_of_the_same_data(test_data):
    bruker = open_map(test_data, "bcf-testing-samples/4on3_full.bcf")
    ripple = open_map(
        test_data,
        "bcf-testing-samples/4on3_full.rpl",
        signal_type="EDS_SEM",
        energy_scale_kev=0.01,
        energy_offset_kev=-0.4701,
    )
    np.testing.assert_array_equal(counts_of(bruker), counts_of(ripple))
    np.testing.assert_allclose(bruker.spectrum_images[0].energy, ripple.spectrum_images[0].energy)


def test_bruker_packed_and_compressed(test_data):
    folder = "bcf-testing-samples/P45_12bit_packed_8bit"
    packed, compressed = (open_map(test_data, folder + end) for end in (".bcf", "_compressed.bcf"))
    np.testing.assert_array_equal(counts_of(packed), counts_of(compressed))


def test_equal_data_give_equal_stores(test_data, tmp_path):
    pairs = {
        "4on3_full.bcf": "4on3_full.rpl",
        "P45_12bit_packed_8bit.bcf": "P45_12bit_packed_8bit_compressed.bcf",
    }
    for number, names in enumerate(pairs.items()):
        first, second = (f"bcf-testing-samples/{name}" for name in names)
        image = open_map(test_data, first).spectrum_images[0]
        overrides = {}
        if second.endswith(".rpl"):
            overrides = {
                "signal_type": image.acquisition["signal_type"].value,
                "energy_scale_kev": float(np.diff(image.energy).mean()),
                "energy_offset_kev": float(image.energy[0]),
                "pixel_size_nm": image.attrs["pixel_size_nm"][0],
            }
        paths = tmp_path / f"{number}a.zarr", tmp_path / f"{number}b.zarr"
        write_store(open_map(test_data, first), paths[0])
        write_store(open_map(test_data, second, **overrides), paths[1])
        groups = [xr.open_zarr(p, group="edxs", consolidated=False).load() for p in paths]
        # A Ripple file knows no detectors.
        groups = [g.drop_dims("detector", errors="ignore") for g in groups]
        assert groups[0]["counts"].dtype == groups[1]["counts"].dtype
        xr.testing.assert_allclose(*groups, rtol=1e-9)
        np.testing.assert_array_equal(*(group["counts"] for group in groups))
        assert groups[0]["counts"].attrs == groups[1]["counts"].attrs


def test_bruker_counts_that_wrapped_are_noticed():
    true = np.zeros((2, 2, 3), dtype=np.uint16)
    true[0, 0] = [300, 2, 7]
    assert has_overflow(true.astype(np.uint8), true.sum(axis=(0, 1)))
    assert not has_overflow(true, true.sum(axis=(0, 1)))
    with pytest.raises(ReadError, match="53 counts but the sum spectrum of the same file 309"):
        check_sum(true.astype(np.uint8), true.sum(axis=(0, 1)), Path("a.bcf"))


def test_bruker_map_is_decoded_again_in_a_wider_type(test_data, monkeypatch):
    path = test_data / "rsciio/bruker/16x16_12bit_packed_8bit.bcf"
    narrow = counts_of(open_raw(path))
    monkeypatch.setattr("mlatem.io.formats.bruker.has_overflow", lambda *_: True)
    wide = counts_of(open_raw(path))
    assert (narrow.dtype, wide.dtype) == (np.uint8, np.uint32)
    np.testing.assert_array_equal(narrow, wide)


def test_hyperspy_metadata_come_back_exactly(test_data, tmp_path):
    signals = open_map(test_data, "espm/88_ES-LP_G8_selection2_cropped2.hspy")
    write_store(signals, tmp_path / "s.zarr")
    assert load_original_metadata(tmp_path / "s.zarr") == signals.original_metadata
    tree = json.loads(load_spectrum_image(tmp_path / "s.zarr").attrs["hyperspy_metadata"])
    assert tree["Acquisition_instrument"]["TEM"]["Detector"]["EDS"]["live_time"] == 28.085
    assert tree["Sample"]["elements"][:3] == ["Al", "Ca", "Fe"]


def test_damaged_files(test_data, tmp_path):
    for path in sorted((test_data / "corrupt").iterdir()):
        if path.name in ("bruker_t95.bcf", "jeol_t50.pts"):
            continue
        with pytest.raises(ReadError, match=path.name):
            write_store(open_raw(path), tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_file_cut_behind_its_last_count_is_whole(test_data):
    cut = open_map(test_data, "corrupt/bruker_t95.bcf")
    np.testing.assert_array_equal(
        counts_of(cut), counts_of(open_map(test_data, "rsciio/bruker/bcf_v2_50x50px.bcf"))
    )


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("name", [SUPER_X, "nist-tutorial/core_shell.hspy", MAPS[4], MAPS[10]])
def test_a_truncated_copy_is_refused_or_equal(name, fraction, test_data, tmp_path):
    original = test_data / name
    if not original.is_file():
        pytest.skip(f"{name} is not among the test data")
    content = original.read_bytes()
    cut = tmp_path / original.name
    cut.write_bytes(content[: int(len(content) * fraction)])
    store = tmp_path / "s.zarr"
    try:
        write_store(open_raw(cut), store)
    except MlatemError as error:
        assert isinstance(error, ReadError)
        assert original.name in str(error)
        assert [p.name for p in tmp_path.iterdir()] == [original.name]
    else:
        np.testing.assert_array_equal(
            load_spectrum_image(store).counts[:], counts_of(open_raw(original))
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exspy/EDS_TEM_FePt_nanoparticles.hspy", "no spectrum image, only an array of 992"),
        ("pyTEMlib/EDS-STO.emd", "no EDS spectrum image, only .*5 Spectrum"),
        ("rsciio/nexus/simple_signal.nxs", "no spectrum image, only arrays of 15 x 1 x 40 x 40"),
        ("rsciio/zspy/signal1d_10x10-ZipStore.zspy", "no spectrum image, only an array of 10 x 10"),
    ],
)
def test_files_without_a_map(name, message, test_data):
    if not (test_data / name).is_file():
        pytest.skip(f"{name} is not among the test data")
    with pytest.raises(ReadError, match=message):
        read(test_data / name)


def test_reading_prints_nothing(test_data, capfd):
    read(test_data / SUPER_X)
    describe(test_data / SUPER_X)
    assert capfd.readouterr().out == ""
