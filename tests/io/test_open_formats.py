# SPDX-License-Identifier: GPL-3.0-or-later
"""NCEM .emd, NeXus, .zspy and Oxford .h5oina, written by hand after their public descriptions."""

import zipfile

import h5py
import numpy as np
import pytest
from small_samples import (
    COUNTS,
    ENERGY,
    SURVEY,
    write_ncem,
    write_nexus,
    write_oxford,
    write_zspy,
    zipped,
)

from mlatem.errors import MemoryLimitError, ReadError, StoreError
from mlatem.io.info import describe
from mlatem.io.read import open_raw
from mlatem.io.store import load_original_metadata, load_spectrum_image, write_store
from mlatem.settings import Convert


def check(path, folder):
    """Counts, axes and survey of a file come back, from the file and from its store."""
    signals = open_raw(path)
    (image,) = signals.spectrum_images
    assert not isinstance(image.counts, np.ndarray)
    np.testing.assert_array_equal(np.asarray(image.counts[1:4, 2:5, 3:9]), COUNTS[1:4, 2:5, 3:9])
    write_store(signals, folder / "spim.zarr")
    stored = load_spectrum_image(folder / "spim.zarr")
    np.testing.assert_array_equal(stored.counts[:], COUNTS)
    np.testing.assert_allclose(stored.energy, ENERGY, atol=1e-6)
    np.testing.assert_allclose(stored.y_nm, 10 + 3.0 * np.arange(5), atol=1e-5)
    np.testing.assert_allclose(stored.x_nm, 20 + 2.0 * np.arange(7), atol=1e-5)
    assert stored.technique == "edxs"
    assert set(load_original_metadata(folder / "spim.zarr")) == set(signals.original_metadata)
    assert len(signals.sources[0]["sha256"]) == 64
    # Nothing keeps the file open: it can be written again.
    if path.is_file() and h5py.is_hdf5(path):
        h5py.File(path, "r+").close()
    return signals


@pytest.mark.parametrize("order", ["yxE", "Exy", "Eyx", "xyE", "yEx"])
def test_ncem_in_any_order_of_axes(order, tmp_path):
    signals = check(write_ncem(tmp_path / "a.emd", order=order), tmp_path)
    assert signals.original_metadata["NCEM"]["microscope"] == {"name": "TEAM 0.5"}
    np.testing.assert_array_equal(signals.surveys[0], SURVEY)
    assert signals.surveys[0].name == "HAADF"


@pytest.mark.parametrize("order", ["yxE", "Exy"])
def test_ncem_as_hyperspy_writes_it(order, tmp_path):
    path = write_ncem(
        tmp_path / "a.emd", order=order, names=False, whole_axes=False, signal_type="EDS_TEM"
    )
    signals = check(path, tmp_path)
    assert signals.spectrum_images[0].acquisition["signal_type"].value == "EDS_TEM"


@pytest.mark.parametrize("kind", ["NCEM", "NeXus"])
@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_plain_hdf5_is_told_by_its_content(kind, suffix, tmp_path):
    write = {"NCEM": write_ncem, "NeXus": write_nexus}[kind]
    check(write(tmp_path / f"a{suffix}"), tmp_path)


def test_ncem_without_an_energy_unit_is_refused_unless_the_user_gives_it(tmp_path):
    path = write_ncem(tmp_path / "a.emd", units="", signal_type="EDS_TEM")
    with pytest.raises(ReadError, match=r"a\.emd.*not calibrated"):
        open_raw(path)
    given = {"energy_scale_kev": 0.02, "energy_offset_kev": -0.1, "pixel_size_nm": 4.0}
    image = open_raw(path, acquisition_overrides=given).spectrum_images[0]
    np.testing.assert_allclose(image.energy, ENERGY)
    np.testing.assert_allclose(image.x_nm, 4.0 * np.arange(7))


def test_hdf5_that_was_not_written_to_its_end(tmp_path):
    path = write_nexus(tmp_path / "a.nxs")
    with h5py.File(path, "a") as file:
        del file["entry1/map/data"]
        data = file.create_dataset("entry1/map/data", COUNTS.shape, "u2", chunks=(2, 7, 32))
        data[:2] = COUNTS[:2]
    with pytest.raises(ReadError, match=r"map/data has 1 of 3 chunks, the others would read as"):
        open_raw(path)
    path = write_ncem(tmp_path / "a.emd")
    with h5py.File(path, "a") as file:
        del file["data/map/data"]
        file.create_dataset("data/map/data", COUNTS.shape, "u2")
    with pytest.raises(ReadError, match=r"map/data has 0 of 2240 bytes"):
        open_raw(path)


def test_axis_of_another_length_than_the_data(tmp_path):
    path = write_ncem(tmp_path / "a.emd")
    with h5py.File(path, "a") as file:
        del file["data/map/data"]
        file["data/map/data"] = COUNTS[:, :6]
    with pytest.raises(ReadError, match="dim2 has 7 positions for 6 of the data"):
        open_raw(path)
    path = write_nexus(tmp_path / "a.nxs")
    with h5py.File(path, "a") as file:
        del file["entry1/map/data"]
        file["entry1/map/data"] = COUNTS[:, :6]
    with pytest.raises(ReadError, match="x has 7 positions for 6 of the data"):
        open_raw(path)


def test_ncem_on_an_uneven_grid(tmp_path):
    path = write_ncem(tmp_path / "a.emd")
    with h5py.File(path, "a") as file:
        file["data/map/dim2"][3] += 1.0
    with pytest.raises(ReadError, match="positions of axis 'x' are not evenly spaced"):
        open_raw(path)


def test_ncem_energy_loss(tmp_path):
    path = write_ncem(tmp_path / "a.emd", units="eV")
    with h5py.File(path, "a") as file:
        file["data/map/dim3"].attrs["name"] = "Energy loss"
    (image,) = open_raw(path).spectrum_images
    assert (image.technique, image.energy_unit) == ("eels", "eV")


@pytest.mark.parametrize("old", [False, True])
def test_nexus(old, tmp_path):
    signals = check(write_nexus(tmp_path / "a.nxs", old=old), tmp_path)
    values = signals.spectrum_images[0].acquisition
    assert values["beam_energy_kev"].value == 200.0
    tree = signals.original_metadata["NeXus"]["entry1"]
    assert tree["circle"] == {"link": "/entry1"}


def test_nexus_of_electron_microscopy(tmp_path):
    path = write_nexus(tmp_path / "a.nxs", hyperspy=False, group_class="NXem_eels")
    with h5py.File(path, "a") as file:
        file["entry1/map/energy"].attrs["units"] = "eV"
    assert open_raw(path).spectrum_images[0].technique == "eels"


@pytest.mark.parametrize("is_zip", [False, True])
@pytest.mark.parametrize("separator", [".", "/"])
def test_zspy(is_zip, separator, tmp_path):
    path = write_zspy(tmp_path / "a.zspy", separator=separator)
    path = zipped(path) if is_zip else path
    before = describe_files(tmp_path)
    signals = check(path, tmp_path)
    image = signals.spectrum_images[0]
    assert image.acquisition["beam_energy_kev"].value == 200.0
    assert signals.original_metadata == {"map": {"vendor": "by hand"}}
    assert '"parts": [{"a": 1}, {"b": []}]' in image.attrs["hyperspy_metadata"]
    assert describe(path)["signals"][0]["shape"] == [5, 7, 32]
    after = describe_files(tmp_path)
    assert {name: after[name] for name in before} == before


def describe_files(folder):
    """Size and time of every file: reading must not touch raw data."""
    files = [f for f in folder.rglob("*") if f.is_file()]
    return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in files}


def test_zspy_is_never_taken_for_a_store_to_replace(tmp_path):
    path = write_zspy(tmp_path / "a.zspy")
    before = describe_files(path)
    with pytest.raises(StoreError, match="exists and is no Zarr folder"):
        write_store(open_raw(path), path)
    assert describe_files(path) == before


def test_zspy_with_a_lost_chunk(tmp_path):
    path = write_zspy(tmp_path / "a.zspy")
    (path / "Experiments/map/data/1/0/0").unlink()
    with pytest.raises(ReadError, match=r"1 of 4 chunks of Experiments/map/data are missing"):
        open_raw(path)


def test_zspy_with_a_damaged_chunk(tmp_path):
    path = zipped(write_zspy(tmp_path / "a.zspy"))
    with zipfile.ZipFile(path) as archive:
        position = archive.getinfo("Experiments/map/data/1/0/0").header_offset
    content = bytearray(path.read_bytes())
    content[position + 80] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"zipped\.zspy: rows 0 to 5 cannot be read .*CRC"):
        write_store(open_raw(path), tmp_path / "spim.zarr")


def test_zspy_that_is_none(tmp_path):
    (tmp_path / "a.zspy").mkdir()
    with pytest.raises(ReadError, match=r"a\.zspy: cannot be read"):
        open_raw(tmp_path / "a.zspy")
    (tmp_path / "b.zspy").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ReadError, match=r"b\.zspy: cannot be read"):
        open_raw(tmp_path / "b.zspy")
    assert (tmp_path / "b.zspy").read_bytes() == b"PK\x03\x04 broken"


def test_zspy_of_huge_chunks(tmp_path):
    with pytest.raises(MemoryLimitError):
        open_raw(write_zspy(tmp_path / "a.zspy"), settings=Convert(memory_limit_gb=1e-9))


@pytest.mark.parametrize("suffix", [".h5oina", ".h5"])
def test_oxford(suffix, tmp_path):
    signals = open_raw(write_oxford(tmp_path / f"a{suffix}"))
    (image,) = signals.spectrum_images
    write_store(signals, tmp_path / "spim.zarr")
    np.testing.assert_array_equal(load_spectrum_image(tmp_path / "spim.zarr").counts[:], COUNTS)
    np.testing.assert_array_equal(image.counts[1:3, 2:6, 4:9], COUNTS[1:3, 2:6, 4:9])
    np.testing.assert_allclose(image.energy, ENERGY, atol=1e-6)
    np.testing.assert_allclose(image.y_nm, 3.0 * np.arange(5), rtol=1e-5)
    np.testing.assert_allclose(image.x_nm, 2.0 * np.arange(7), rtol=1e-5)
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert values == {
        "beam_energy_kev": 20.0,
        "n_frames": 4,
        "elevation_deg": 35.0,
        "live_time_s": pytest.approx(0.35, rel=1e-6),
        "n_detectors": 1,
        "date": "2024-03-01T12:00:00",
        "sample": "Granite",
        "signal_type": "EDS_SEM",
    }
    np.testing.assert_array_equal(signals.surveys[0], SURVEY)
    np.testing.assert_allclose(signals.surveys[0]["x"], 10.0 * np.arange(4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spectra": False}, "EDS maps but not their spectra. In AZtec 6.2 or later export"),
        ({"techniques": ()}, "no EDS map"),
        ({"techniques": ("EDS1", "EDS2")}, r"spectra of 2 detectors \(EDS1, EDS2\)"),
        ({"n_pixels": 34}, "34 spectra for a map of 5 x 7 pixels"),
    ],
)
def test_oxford_that_is_no_whole_map(changes, message, tmp_path):
    with pytest.raises(ReadError, match=message):
        open_raw(write_oxford(tmp_path / "a.h5oina", **changes))


def test_oxford_whose_pixels_run_along_columns(tmp_path):
    path = write_oxford(tmp_path / "a.h5oina")
    with h5py.File(path, "a") as file:
        file["1/EDS/Data/X"][:] = file["1/EDS/Data/X"][:].reshape(5, 7).T.reshape(-1, 1)
    with pytest.raises(ReadError, match="positions X of its pixels do not run row by row"):
        open_raw(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "a.oip",
            r"a\.oip: is a project of Oxford .* AZtec 6.2 or later export the map as .h5oina",
        ),
        ("a.edaxh5", r"project of EDAX APEX.* export the map as Ripple"),
        ("a.ndata", r"Nion Swift, which is not read\. In Nion Swift export it"),
        ("a.elid", "Phenom"),
        ("a.raw", r"Name the \.rpl header"),
        ("a.msa", "single spectrum"),
    ],
)
def test_formats_that_are_known_but_not_read(name, message, tmp_path):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ReadError, match=message):
        open_raw(tmp_path / name)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"Acquisition0/x": 1}, "Delmic Odemis"),
        ({"Manufacturer": "EDAX", "x": 1}, "file of EDAX"),
    ],
)
def test_hdf5_is_told_by_its_content(entries, message, tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, value in entries.items():
            file[name] = value
    with pytest.raises(ReadError, match=message):
        open_raw(tmp_path / "a.hdf5")


def test_hdf5_of_nion_swift_is_told_by_its_content(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = COUNTS
        file["data"].attrs["properties"] = "{}"
    with pytest.raises(ReadError, match="data item of Nion Swift"):
        open_raw(tmp_path / "a.h5")
