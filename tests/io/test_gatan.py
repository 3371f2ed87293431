# SPDX-License-Identifier: GPL-3.0-or-later
"""Gatan .dm3 and .dm4, and datasets of several EELS files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlatem.errors import InputError, ReadError
from mlatem.io.counts import check_counts
from mlatem.io.formats import gatan
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.formats.mapping import mapped_metadata, tag
from mlatem.io.info import describe
from mlatem.io.mapped import MappedArray
from mlatem.io.read import _joined, open_raw, read
from mlatem.io.store import load_spectrum_image, write_store
from mlatem.io.suspicions import longest_gap, suspicions_of
from mlatem.steps.check import check_campaign

CORE = "SciFiDatasets/DMReader_SpectrumImage_SI-EELS.dm3"
HAADF = "SciFiDatasets/DMReader_SI-HAADF.dm3"
SMALL = "rsciio/digitalmicrograph/3D/EELS_SI.dm4"
VELOX = "hyperspy-1.7.6-wheel/fei_SI_SuperX-HAADF_10frames_10x50.emd"


def present(test_data, name):
    if not (test_data / name).is_file():
        pytest.skip(f"{name} is not among the test data")
    return test_data / name


def gatan_signal(path, counts, *, offset_ev=300.0, units="eV", signal_type="EELS", **tags):
    """What the vendor reader returns for `counts` (y, x, energy), which are put into a file."""
    stored = np.ascontiguousarray(counts.transpose(2, 0, 1))
    path.write_bytes(b"\x00" * 40 + stored.tobytes())
    place = {"offset": 40, "size_bytes": stored.nbytes, "endian": "little"}
    image = {
        "ImageTags": {"Meta Data": {"Format": "Spectrum image", "Signal": signal_type}, **tags},
        "ImageData": {"Data": place, "Calibrations": {"Brightness": {"Scale": 0.5, "Units": "e-"}}},
    }

    class Lazy:
        """The counts as the reader hands them out: never to be read through it."""

        shape, dtype, ndim = stored.shape, stored.dtype, 3

    return {
        "data": Lazy(),
        "axes": [
            {"name": "Energy loss", "offset": offset_ev, "scale": 0.5, "units": units},
            {"name": "y", "offset": -0.0, "scale": 0.002, "units": "µm"},
            {"name": "x", "offset": -0.0, "scale": 3.0, "units": "nm"},
        ],
        "metadata": {"General": {"title": "map"}, "Signal": {"signal_type": signal_type}},
        "original_metadata": {"ImageList": {"TagGroup0": image}},
        "mapping": {},
    }


def gatan_map(path, counts, **changes):
    return gatan.signals(path, [gatan_signal(path, counts, **changes)], AxisOverrides())


@pytest.fixture
def counts():
    return np.random.default_rng(4).poisson(50.0, (5, 4, 600)).astype(np.float32)


@pytest.mark.parametrize("name", [CORE, SMALL])
def test_counts_of_the_manifest_with_the_energy_axis_last(name, test_data, tmp_path):
    files = json.loads((test_data / "manifest.json").read_text())["files"]
    (expected,) = [s for e in files if e["file"] == name for s in e["signals"]]
    signals = open_raw(present(test_data, name))
    assert signals.group_names == ("eels_core",)
    n_energy, ny, nx = expected["shape"]
    assert signals.spectrum_images[0].shape == (ny, nx, n_energy)
    write_store(signals, tmp_path / "s.zarr")
    image = load_spectrum_image(tmp_path / "s.zarr", "eels_core")
    assert image.counts[:].sum(dtype=np.float64) == pytest.approx(expected["sum"], abs=0.5)
    reader = pytest.importorskip("rsciio.digitalmicrograph").file_reader
    (reference,) = reader(str(test_data / name))
    np.testing.assert_array_equal(image.counts[:], reference["data"].transpose(1, 2, 0))
    assert image.acquisition == signals.spectrum_images[0].acquisition
    tree = read(test_data / name)
    assert tree["eels_core/counts"].dims == ("y", "x", "energy_loss")
    assert tree["eels_core/energy_loss"].attrs["units"] == "eV"


def test_whole_counts_take_the_smallest_type(test_data, tmp_path):
    write_store(open_raw(present(test_data, CORE)), tmp_path / "s.zarr")
    image = load_spectrum_image(tmp_path / "s.zarr", "eels_core")
    assert image.shape == (49, 6, 1024)
    assert image.counts.dtype == np.uint16
    assert image.counts.attrs["total_counts"] == 449065142


def test_metadata(test_data):
    image = open_raw(present(test_data, SMALL)).spectrum_images[0]
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert values["beam_energy_kev"] == 200.0
    assert values["convergence_mrad"] == 21.0
    assert values["collection_mrad"] == 62.0
    assert values["dwell_time_s"] == 0.02
    assert values["microscope"] == "FEI Titan"
    assert values["detector"] == "GIF Quantum ER"
    assert values["date"] == "2019-05-14T20:50:13"
    assert {entry.origin for entry in image.acquisition.values()} == {"file"}
    assert "beam_current_na" not in image.acquisition
    assert image.attrs["dispersion_ev"] == 1.0
    assert image.attrs["exposure_s"] == pytest.approx(0.01995, abs=1e-5)
    assert image.attrs["intensity_scale"] == pytest.approx(0.12853, abs=1e-5)
    np.testing.assert_allclose(image.energy[[0, -1]], [300.0, 2347.0])
    assert image.attrs["pixel_size_nm"] == pytest.approx([1.99207, 1.99207], rel=1e-5)
    assert "warnings" not in image.attrs
    unknown = open_raw(present(test_data, CORE)).spectrum_images[0]
    assert "microscope" not in unknown.acquisition
    assert unknown.attrs["pixel_size_origin"] == "default"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (HAADF, r"only an image of 1568 x 192 pixels \(06-HAADF\)"),
        ("SciFiDatasets/DMReader_Image_SI-Survey.dm3", "only an image of 512 x 512 pixels"),
        ("pyTEMlib/EELS_STO.dm3", "only a single spectrum of 2048 channels"),
        (
            "rsciio/digitalmicrograph/1D/test-EDS_spectrum.dm3",
            "only a single spectrum of 4096 channels",
        ),
        ("corrupt/digitalmicrograph_t95.dm4", "cannot be read"),
        ("corrupt/digitalmicrograph_zero64k.dm4", "cannot be read"),
    ],
)
def test_files_without_a_map_say_what_they_are(name, words, test_data):
    with pytest.raises(ReadError, match=f"{Path(name).name}: .*{words}"):
        open_raw(present(test_data, name))


def test_files_of_one_dataset_make_one_store(test_data, tmp_path):
    files = [present(test_data, name) for name in (CORE, VELOX, HAADF)]
    write_store(open_raw(files), tmp_path / "s.zarr")
    core = load_spectrum_image(tmp_path / "s.zarr", "eels_core")
    edxs = load_spectrum_image(tmp_path / "s.zarr", "edxs")
    assert (core.shape, edxs.shape) == ((49, 6, 1024), (50, 10, 4096))
    described = describe(tmp_path / "s.zarr")
    assert [s["file"] for s in described["source"]] == [f.name for f in files]
    assert [s["shape"] for s in described["surveys"]] == [[50, 10], [1568, 192]]


def test_check_takes_the_files_of_a_dataset_together(test_data, tmp_path):
    core, edxs, image = (present(test_data, name) for name in (CORE, VELOX, HAADF))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("")
    sheet = f"dataset\tpath\telements\nwhole\t{core};{edxs};{image}\tO\nlone\t{core};{image}\tO\n"
    (tmp_path / "config" / "datasets.tsv").write_text(sheet)
    (problem,) = check_campaign(tmp_path).problems
    assert problem.startswith("lone: has no X-ray map, only eels_core")


def test_two_files_of_one_kind_are_refused(test_data):
    with pytest.raises(InputError, match=r"SI-EELS.*EELS_SI.*one kind \(eels_core\)"):
        open_raw([present(test_data, CORE), present(test_data, SMALL)])


def test_low_loss_covers_zero(tmp_path, counts):
    low = gatan_map(tmp_path / "low.dm4", counts, offset_ev=-20.0)
    core = gatan_map(tmp_path / "core.dm4", counts)
    joined = _joined([core, low])
    assert joined.group_names == ("eels_core", "eels_lowloss")
    write_store(joined, tmp_path / "s.zarr")
    for group in joined.group_names:
        image = load_spectrum_image(tmp_path / "s.zarr", group)
        assert image.counts.dtype == np.uint8
        np.testing.assert_array_equal(image.counts[:], counts)
    with pytest.raises(InputError, match=r"low.dm4 and .*low.dm4.*\(eels_lowloss\)"):
        _joined([low, low])


def test_grids_that_do_not_fit_are_told(tmp_path, counts):
    low = gatan_map(tmp_path / "low.dm4", counts[:4], offset_ev=-20.0)
    joined = _joined([gatan_map(tmp_path / "core.dm4", counts), low])
    for image in joined.spectrum_images:
        (sentence,) = image.attrs["warnings"]
        assert "eels_core has 5 x 4 pixels but eels_lowloss has 4 x 4 pixels" in sentence


def test_eds_map_and_its_clock(tmp_path, counts):
    clock = {"Live time": 2.0, "Real time": 3.0, "Detector Info": {"Elevation angle": 18.0}}
    signals = gatan_map(
        tmp_path / "a.dm4", counts, units="keV", signal_type="EDS_TEM", offset_ev=-0.1, EDS=clock
    )
    assert signals.group_names == ("edxs",)
    (image,) = signals.spectrum_images
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert (values["live_time_s"], values["real_time_s"]) == (2.0, 3.0)
    assert values["elevation_deg"] == 18.0
    np.testing.assert_allclose(image.y_nm, 2.0 * np.arange(5))
    np.testing.assert_allclose(image.x_nm, 3.0 * np.arange(4))


def test_energy_without_unit_is_refused(tmp_path, counts):
    with pytest.raises(ReadError, match="not calibrated"):
        gatan_map(tmp_path / "a.dm4", counts, units="")


def test_counts_that_the_file_does_not_reach(tmp_path, counts):
    path = tmp_path / "a.dm4"
    signal = gatan_signal(path, counts)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ReadError, match=r"a\.dm4: ends after 48039 bytes.*to byte 48040"):
        gatan.signals(path, [signal], AxisOverrides())


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.49, 0.6, 0.97])
def test_a_truncated_copy_is_refused(fraction, test_data, tmp_path):
    content = present(test_data, SMALL).read_bytes()
    cut = tmp_path / "cut.dm4"
    cut.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(ReadError, match=r"cut\.dm4"):
        open_raw(cut)


def test_what_the_user_says_of_one_map_is_not_taken_for_two(test_data):
    files = [present(test_data, name) for name in (CORE, VELOX)]
    with pytest.raises(InputError, match=r"signal_type can hold for one .* but there are 2"):
        open_raw(files, acquisition_overrides={"signal_type": "EELS"})
    signals = open_raw(files, acquisition_overrides={"beam_energy_kev": 80.0})
    assert {i.acquisition["beam_energy_kev"].value for i in signals.spectrum_images} == {80.0}


def test_a_block_of_zeros_is_told(tmp_path, counts):
    counts[:, :, 300:420] = 0.0
    (image,) = gatan_map(tmp_path / "a.dm4", counts).spectrum_images
    (sentence,) = image.attrs["warnings"]
    assert "2400 of 12000 counts are exactly zero in one run, from channel 300 to 419" in sentence


def test_pixels_that_the_scan_did_not_reach_are_told(tmp_path, counts):
    counts[3, 2:] = counts[4] = 0.0
    signals = gatan_map(tmp_path / "a.dm4", counts)
    (sentence,) = signals.spectrum_images[0].attrs["warnings"]
    assert "6 of 20 pixels hold no counts in any channel, the first in row 3, column 2" in sentence
    write_store(signals, tmp_path / "s.zarr")
    (described,) = describe(tmp_path / "s.zarr")["signals"]
    assert described["details"]["warnings"] == [sentence]


def test_counting_cameras_are_not_suspected(tmp_path):
    sparse = np.random.default_rng(0).poisson(0.001, (600, 30, 30)).astype(np.uint16)
    path = tmp_path / "a.dm4"
    path.write_bytes(sparse.tobytes())
    assert not any("run" in s for s in suspicions_of(MappedArray(path, "u2", sparse.shape, 0)))


def test_a_negative_sum_is_refused(tmp_path, counts):
    counts[0, 0, 0] = -1e7
    signals = gatan_map(tmp_path / "a.dm4", counts)
    with pytest.raises(ReadError, match=r"sums to -9\.4.*damaged"):
        check_counts(signals, signals.spectrum_images[0])


@pytest.mark.parametrize("part_bytes", [1, 100, 1 << 20])
def test_mapped_regions_are_slices(tmp_path, part_bytes, monkeypatch):
    monkeypatch.setattr("mlatem.io.mapped.PART_BYTES", part_bytes)
    array = np.arange(4 * 5 * 6, dtype=">i4").reshape(4, 5, 6)
    (tmp_path / "a").write_bytes(b"abc" + array.tobytes())
    mapped = MappedArray(tmp_path / "a", ">i4", array.shape, 3)
    np.testing.assert_array_equal(np.asarray(mapped), array)
    region = (slice(1, 3), slice(2, 5), slice(0, 2))
    np.testing.assert_array_equal(mapped[region], array[region])
    assert mapped[2:2, :, :].shape == (0, 5, 6)


@pytest.mark.parametrize("size", [1, 3, 50])
def test_longest_gap_does_not_depend_on_the_blocks(size):
    filled = np.array([0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0], dtype=bool)
    blocks = [filled[i : i + size] for i in range(0, len(filled), size)]
    assert longest_gap(blocks) == (3, 4, 9)
    assert longest_gap([~filled[:0], filled[9:]]) == (0, 3, 3)


def test_a_function_that_raises_leaves_out_its_own_value():
    original = {"A b": {"volts": 2e5, "text": "x", "empty": []}}
    table = {
        "A_b.volts": ("TEM.beam_energy", lambda v: v / 1e3),
        "A b.text": ("TEM.bad", float),
        "A b.empty": ("TEM.none", None),
        "A b.volts": ("General.title.deep", None),
        "absent.x": ("TEM.x", None),
    }
    tree = mapped_metadata({"General": {"title": "map"}}, original, table)
    assert tree == {"General": {"title": "map"}, "TEM": {"beam_energy": 200.0}}
    assert tag(original, "A_b.text") == "x"
    assert tag(original, "A b.text.deeper") is None
