# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores to HyperSpy files and back."""

import importlib
import sys
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
import xarray as xr
import zarr

from mlatem.errors import InputError, StoreError
from mlatem.io.exact_json import dumps
from mlatem.io.export import export_hspy, to_hyperspy
from mlatem.io.read import open_raw, read
from mlatem.io.signals import RawSignals
from mlatem.io.store import (
    load_original_metadata,
    load_spectrum_image,
    open_store,
    write_store,
)
from mlatem.io.validate import validate_store
from mlatem.model import Acquisition, SpectrumImage, Value
from mlatem.steps.export import export

VENDOR = {
    "numbers": np.arange(3, dtype=np.int16),
    "text": "µ" * 70_000,
    "nothing": None,
    "nan": float("nan"),
    "bytes": b"\x00\x01",
    "tuple": (1, "two", {"deep": [1.5]}),
    "a/b": {".": {"": "odd names"}},
}
TREE = {
    "General": {"title": "of the vendor", "notes": ["a", "b"]},
    "Signal": {"signal_type": "EDS_TEM"},
    "Acquisition_instrument": {
        "TEM": {"beam_energy": 300.0, "Detector": {"EDS": {"elevation_angle": 18.0}}}
    },
}


def spectrum_image(technique="edxs", name="a/b", **options):
    rng = np.random.default_rng(5)
    counts = rng.poisson(0.4, (140, 21, 48)).astype(np.uint16)
    return SpectrumImage(
        counts,
        # Positions that no offset and step give to the last bit.
        energy=(400.0 if technique == "eels" else 0.0)
        + (0.1 + 0.2) * np.arange(48)
        + np.linspace(0, 1e-9, 48),
        y_nm=7.0 + 0.1 * np.arange(140),
        x_nm=0.3 * np.arange(21) / 7,
        technique=technique,
        name=name,
        **options,
    )


@pytest.fixture
def signals():
    image = spectrum_image(
        acquisition=Acquisition(
            {
                "beam_energy_kev": Value(200.0, "user"),
                "elevation_deg": Value(18.0, "file"),
                "azimuth_deg": Value(0.0, "default"),
                "live_time_s": Value(12.5, "file"),
                "thickness_nm": Value(80.0, "user"),
                "date": Value("2024-02-03T10:11:12", "file"),
            }
        ),
        attrs={
            "pixel_size_nm": [0.1, 0.3 / 7],
            "pixel_size_origin": "default",
            "elements_in_file": ["Fe", "O"],
            "hyperspy_metadata": dumps(TREE),
        },
    )
    survey = xr.DataArray(
        np.random.default_rng(1).random((30, 20), dtype=np.float32),
        dims=("y", "x"),
        coords={"y": 3.1 * np.arange(30), "x": 3.1 * np.arange(20)},
        name="BF",
        attrs={"pixel_size_origin": "file"},
    )
    others = (
        survey.rename("HAADF 2"),
        survey.isel(y=slice(10)).rename("BF"),
        *(1 + n + survey.assign_attrs(number=n).rename("AB") for n in range(11)),
    )
    losses = spectrum_image("eels", name="")
    return RawSignals((image, losses), (survey, *others), VENDOR, ({"file": "raw.emd"},))


@pytest.fixture
def store(signals, tmp_path):
    write_store(signals, tmp_path / "spim.zarr")
    return tmp_path / "spim.zarr"


@pytest.fixture
def exported(store, tmp_path):
    export(store, tmp_path / "out.hspy")
    return tmp_path / "out.hspy"


def assert_same_stores(one, other):
    one, other = open_store(one), open_store(other)
    assert set(one.children) == set(other.children)
    for name in one.children:
        xr.testing.assert_identical(one[name].to_dataset(), other[name].to_dataset())
    assert one.attrs["groups"] == other.attrs["groups"]


def test_export_and_reimport_are_identical(store, exported, tmp_path):
    write_store(open_raw(exported), tmp_path / "again.zarr")
    assert_same_stores(store, tmp_path / "again.zarr")
    source = open_store(tmp_path / "again.zarr").attrs["source"]
    assert source[0]["file"] == "out.hspy"
    assert source[0]["made_from"] == [{"file": "raw.emd"}]


def test_pixels_that_are_left_out_stay_so(signals, tmp_path):
    mask = np.random.default_rng(0).random((140, 21)) < 0.1
    images = (replace(signals.spectrum_images[0], mask=mask), *signals.spectrum_images[1:])
    write_store(replace(signals, spectrum_images=images), tmp_path / "spim.zarr")
    assert validate_store(tmp_path / "spim.zarr") == []
    np.testing.assert_array_equal(load_spectrum_image(tmp_path / "spim.zarr").mask, mask)
    export(tmp_path / "spim.zarr", tmp_path / "out.hspy")
    with h5py.File(tmp_path / "out.hspy") as file:
        stored = file["Experiments/a-b/metadata/MLATEM/navigation_mask"]
        np.testing.assert_array_equal(stored, mask)
    np.testing.assert_array_equal(read(tmp_path / "out.hspy")["edxs"]["mask"], mask)
    write_store(open_raw(tmp_path / "out.hspy"), tmp_path / "again.zarr")
    assert_same_stores(tmp_path / "spim.zarr", tmp_path / "again.zarr")


def test_a_mask_of_all_pixels_is_found(signals, tmp_path):
    mask = np.zeros((140, 21), dtype=bool)
    images = (replace(signals.spectrum_images[0], mask=mask), *signals.spectrum_images[1:])
    write_store(replace(signals, spectrum_images=images), tmp_path / "spim.zarr")
    zarr.open_array(tmp_path / "spim.zarr/edxs/mask")[:] = True
    (problem,) = validate_store(tmp_path / "spim.zarr")
    assert "edxs: pixels: the mask leaves out all 2940 pixels" in problem


def test_what_the_user_says_at_reimport_holds(exported):
    overrides = {"beam_energy_kev": 80.0}
    image = open_raw(exported, acquisition_overrides=overrides).spectrum_images[0]
    assert image.acquisition["beam_energy_kev"] == Value(80.0, "user")
    assert image.acquisition["azimuth_deg"] == Value(0.0, "default")


def test_an_axis_for_two_maps_is_refused(exported):
    with pytest.raises(InputError, match="energy_scale_kev can hold for one spectrum image"):
        open_raw(exported, acquisition_overrides={"energy_scale_kev": 0.02})


def test_what_others_changed_in_the_file_holds(exported):
    with h5py.File(exported, "r+") as file:
        tree = file["Experiments/a-b/metadata"]
        tree["Acquisition_instrument/TEM"].attrs["beam_energy"] = 120.0
    image = open_raw(exported).spectrum_images[0]
    assert image.acquisition["beam_energy_kev"] == Value(120.0, "file")


def test_reader_of_hyperspy(signals, exported):
    reader = importlib.import_module("rsciio.hspy")
    found = reader.file_reader(str(exported))
    titles = [signal["metadata"]["General"]["title"] for signal in found]
    assert titles == ["of the vendor", "", "BF", *11 * ["AB"], "HAADF 2", "BF"]
    spectra = found[0]
    np.testing.assert_array_equal(spectra["data"], signals.spectrum_images[0].counts)
    assert [axis["name"] for axis in spectra["axes"]] == ["y", "x", "Energy"]
    assert [axis["units"] for axis in spectra["axes"]] == ["nm", "nm", "keV"]
    assert [axis["navigate"] for axis in spectra["axes"]] == [True, True, False]
    assert spectra["axes"][0]["offset"] == 7.0
    assert spectra["axes"][0]["scale"] == pytest.approx(0.1)
    tree = spectra["metadata"]
    assert tree["General"]["notes"] == ["a", "b"]
    microscope = tree["Acquisition_instrument"]["TEM"]
    assert microscope["beam_energy"] == 200.0, "the user's"
    assert microscope["Detector"]["EDS"] == {"elevation_angle": 18.0, "live_time": 12.5}
    assert found[1]["axes"][2]["units"] == "eV"
    assert found[1]["metadata"]["Signal"]["signal_type"] == "EELS"


def test_vendor_metadata_in_the_eyes_of_hyperspy(exported):
    reader = importlib.import_module("rsciio.hspy")
    tree = reader.file_reader(str(exported))[0]["original_metadata"]
    np.testing.assert_array_equal(tree["numbers"], VENDOR["numbers"])
    for key in ("text", "nothing", "bytes", "tuple"):
        assert tree[key] == VENDOR[key]
    assert np.isnan(tree["nan"])
    assert tree["a-b"] == {"_": {"_": "odd names"}}
    exact = open_raw(exported).original_metadata
    assert list(exact) == list(VENDOR)
    assert exact["a/b"] == VENDOR["a/b"]


@pytest.mark.parametrize(
    "values",
    [
        {"many": [{"n": n} for n in range(12)], "empty": [], "none": ()},
        {"mixed": [1, "1", None, 2.5], "flags": [True, False], "rows": [[1, 2], [3]]},
        {
            "large": 2**70,
            "larger": [2**70],
            "array": np.zeros((2, 3)),
            "texts": np.array(["a", "é"]),
        },
    ],
    ids=["sequences", "types", "numbers"],
)
def test_trees_come_back(values, tmp_path):
    write_store(RawSignals((spectrum_image(),), original_metadata=values), tmp_path / "spim.zarr")
    export_hspy(tmp_path / "spim.zarr", tmp_path / "out.hspy")
    reader = importlib.import_module("rsciio.hspy")
    tree = reader.file_reader(str(tmp_path / "out.hspy"))[0]["original_metadata"]
    expected = {
        "large": str(2**70), "larger": [str(2**70)], "array": [[0.0] * 3] * 2, "texts": ["a", "é"],
    }  # fmt: skip
    for key, value in values.items():
        found = tree[key]
        assert (found.tolist() if isinstance(found, np.ndarray) else found) == expected.get(
            key, value
        )


def test_only_own_files_are_replaced(store, exported, tmp_path):
    export_hspy(store, exported)
    text, foreign = tmp_path / "notes.hspy", tmp_path / "foreign.hspy"
    text.write_text("mine")
    with h5py.File(foreign, "w") as file:
        file.create_group("Experiments")
    (tmp_path / "folder.hspy").mkdir()
    for path in (text, foreign, tmp_path / "folder.hspy"):
        with pytest.raises(StoreError, match=r"not written by `mlatem export`"):
            export_hspy(store, path)
    with pytest.raises(InputError, match=r"ends in \.hspy"):
        export_hspy(store, tmp_path / "raw.emd")
    with pytest.raises(StoreError, match="no such store"):
        export_hspy(tmp_path / "lost.zarr", tmp_path / "new.hspy")
    assert text.read_text() == "mine"
    assert not (tmp_path / "new.hspy").exists()


def test_a_store_with_other_counts_is_not_exported(store, tmp_path):
    import zarr

    zarr.open_group(store)["edxs/counts"][0, 0, 0] = 200
    with pytest.raises(StoreError, match=r"edxs holds \d+ counts, but \d+ were converted"):
        export_hspy(store, tmp_path / "out.hspy")
    assert list(tmp_path.iterdir()) == [store]


def test_export_holds_a_shard_at_a_time(tmp_path):
    counts = np.zeros((300, 300, 256), dtype=np.uint16)
    counts[::7, ::5, ::3] = 1000
    axes = 0.01 * np.arange(256), np.arange(300.0), np.arange(300.0)
    write_store(RawSignals((SpectrumImage(counts, *axes),)), tmp_path / "spim.zarr")
    n_bytes = counts.nbytes
    del counts
    seen = []
    tracemalloc.start()
    try:
        export_hspy(tmp_path / "spim.zarr", tmp_path / "o.hspy", progress=lambda *a: seen.append(a))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 128 * 128 * 256 * 2 + 8e6 < n_bytes
    assert seen[-1] == (9, 9)


@pytest.mark.parametrize(
    "name",
    [
        "hyperspy-1.7.6-wheel/fei_emd_si.emd",
        "rsciio/bruker/bcf_v2_50x50px.bcf",
        "rsciio/bruker/P45_the_default_job.bcf",
        "nist-tutorial/core_shell.hspy",
        "bcf-testing-samples/4on3_full.rpl",
    ],
)
def test_vendor_files_go_round(test_data, name, tmp_path):
    if not (test_data / name).is_file():
        pytest.skip(f"{name} is not among the test data")
    axis = {"energy_scale_kev": 0.01} if name.endswith("rpl") else {}
    raw = open_raw(test_data / name, acquisition_overrides={**axis, "signal_type": "EDS_TEM"})
    write_store(raw, tmp_path / "one.zarr")
    export_hspy(tmp_path / "one.zarr", tmp_path / "out.hspy")
    write_store(open_raw(tmp_path / "out.hspy"), tmp_path / "two.zarr")
    assert_same_stores(tmp_path / "one.zarr", tmp_path / "two.zarr")
    one, two = (load_original_metadata(tmp_path / f"{n}.zarr") for n in ("one", "two"))
    assert dumps(one) == dumps(two)


def test_without_hyperspy_the_mend_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "hyperspy.api", None)
    with pytest.raises(InputError, match=r"pip install 'mlatem\[hyperspy\]'"):
        to_hyperspy(store)


@pytest.mark.parametrize("lazy", [False, True])
def test_to_hyperspy(signals, store, lazy):
    pytest.importorskip("hyperspy.api")
    signal = to_hyperspy(store, lazy=lazy)
    assert signal._lazy == lazy
    np.testing.assert_array_equal(np.asarray(signal.data), signals.spectrum_images[0].counts)
    assert [axis.name for axis in signal.axes_manager._axes] == ["y", "x", "Energy"]
    np.testing.assert_allclose(signal.axes_manager["y"].axis, signals.spectrum_images[0].y_nm)
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200.0
    assert signal.metadata.Signal.signal_type == "EDS_TEM"
    assert signal.original_metadata.nothing is None
    losses = to_hyperspy(open_store(store), group="eels_core")
    assert losses.axes_manager[2].units == "eV"
    with pytest.raises(InputError, match="there is edxs, eels_core"):
        to_hyperspy(store, group="cl")


def test_to_hyperspy_of_a_raw_file(exported):
    pytest.importorskip("hyperspy.api")
    tree = read(exported)
    signal = to_hyperspy(tree)
    np.testing.assert_array_equal(signal.data, tree["edxs/counts"].values)
