# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading without any vendor file: hand-written Ripple, HyperSpy and Velox files, and bad ones."""

import json
import logging

import h5py
import numpy as np
import pytest

from mlatem.errors import InputError, MemoryLimitError, ReadError
from mlatem.io.info import describe
from mlatem.io.read import open_raw, read
from mlatem.io.store import load_spectrum_image, write_store
from mlatem.settings import Convert

COUNTS = np.random.default_rng(0).poisson(0.4, (5, 7, 32)).astype(np.uint16)

HEADER = {
    "width": 7,
    "height": 5,
    "depth": 32,
    "offset": 0,
    "data-length": 2,
    "data-type": "unsigned",
    "byte-order": "little-endian",
    "record-by": "vector",
    "signal": "EDS_TEM",
    "ev-per-chan": 20,
    "depth-origin": -100,
    "beam-energy": 200.0,
    "width-scale": 2.0,
    "width-units": "nm",
    "height-scale": 0.003,
    "height-units": "um",
}


def write_ripple(folder, counts=COUNTS, **changes):
    header = {**HEADER, **{k.replace("_", "-"): v for k, v in changes.items()}}
    path = folder / "map.rpl"
    lines = ["key\tvalue", *(f"{k}\t{v}" for k, v in header.items() if v is not None)]
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")
    path.with_suffix(".raw").write_bytes(counts.tobytes())
    return path


def write_hspy(folder, counts=COUNTS, *, flip=False, images=(), chunks=True, **metadata):
    path = folder / "map.hspy"
    with h5py.File(path, "w") as file:
        file.attrs.update(file_format="HyperSpy", file_format_version="3.3")
        arrays = [("map", counts, ["y", "x", "Energy"]), *((t, i, ["y", "x"]) for t, i in images)]
        for title, array, names in arrays:
            group = file.create_group(f"Experiments/{title}")
            group.create_dataset("data", data=array, chunks=chunks or None)
            for axis, name in enumerate(names):
                is_energy = name == "Energy"
                sub = group.create_group(f"axis-{axis}")
                scale = 0.02 if is_energy else (-2.0 if flip and name == "x" else 2.0)
                sub.attrs.update(
                    _type="UniformDataAxis",
                    name=name,
                    scale=scale,
                    offset=-0.1 if is_energy else 10.0,
                    size=array.shape[axis],
                    units="keV" if is_energy else "nm",
                    navigate=len(names) == 3 and not is_energy,
                )
            tree = group.create_group("metadata")
            tree.create_group("General").attrs["title"] = title
            tree.create_group("Signal").attrs["signal_type"] = "EDS_TEM" if len(names) == 3 else ""
            eds = tree.create_group("Acquisition_instrument/TEM/Detector/EDS")
            eds.attrs.update(metadata)
            group.create_group("original_metadata").attrs["vendor"] = "by hand"
    return path


def velox_stream(counts, frames):
    """Events of `counts` split at random over frames."""
    generator = np.random.default_rng(3)
    share = generator.multinomial(counts.reshape(-1), np.full(frames, 1 / frames))
    cubes = share.T.reshape(frames, -1, counts.shape[-1])
    parts = []
    for pixel in cubes.reshape(-1, counts.shape[-1]):
        parts += [np.repeat(np.arange(len(pixel)), pixel), [65535]]
    return np.concatenate(parts).astype(np.uint16)


def velox_metadata(**changes):
    detector = {
        "DetectorName": "SuperXG21",
        "DetectorType": "AnalyticalDetector",
        "Dispersion": "10",
        "OffsetEnergy": "-200",
        "ElevationAngle": "0.383972",
        "RealTime": "7.0",
        "LiveTime": "6.5",
    }
    return {
        "BinaryResult": {
            "Detector": "SuperXG21",
            "PixelSize": {"width": "2e-9", "height": "3e-9"},
            "Offset": {"x": "0", "y": "1e-8"},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
        },
        "Optics": {"AccelerationVoltage": "200000"},
        "Scan": {"DwellTime": "0.1", "FrameTime": "3.5"},
        "Stage": {"AlphaTilt": "0", "BetaTilt": "0", "Position": {"x": "0", "y": "0", "z": "0"}},
        "Instrument": {"InstrumentClass": "Talos"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1500000000"}},
        "CustomProperties": {},
        "Detectors": {
            "Detector-0": detector,
            "Detector-1": {"DetectorName": "HAADF", "DetectorType": "ScanningDetector"},
        },
        **changes,
    }


def write_velox(folder, *, counts=COUNTS, frames=2, shapes=((5, 7),), spectrum=None, stream=None):
    path = folder / "map.emd"

    def metadata(group, tree):
        text = json.dumps(tree).encode()
        table = np.zeros((len(text) + 10, 1), np.uint8)
        table[: len(text), 0] = np.frombuffer(text, np.uint8)
        group["Metadata"] = table

    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "Version", data=[json.dumps({"format": "Velox", "version": "7"})], dtype=text
        )
        file.create_group("Presentation/Displays/ImageDisplay")
        file.create_group("Operations")
        file.create_group("Features")
        events = velox_stream(counts, frames) if stream is None else stream
        group = file.create_group("Data/SpectrumStream/a")
        group["Data"] = events[:, None]
        settings = {"bincount": str(counts.shape[2]), "StreamEncoding": "uint16"}
        group.create_dataset("AcquisitionSettings", data=[json.dumps(settings)], dtype=text)
        metadata(group, velox_metadata())
        group = file.create_group("Data/SpectrumImage/b")
        end = [json.dumps({"endFramePosition": str(frames)})]
        group.create_dataset("SpectrumImageSettings", data=end, dtype=text)
        metadata(group, velox_metadata())
        for index, shape in enumerate(shapes):
            group = file.create_group(f"Data/Image/{index}")
            group["Data"] = np.stack([np.full(shape, 4, "u2"), np.full(shape, 7, "u2")], axis=-1)
            tree = velox_metadata()
            tree["BinaryResult"] = {
                **tree["BinaryResult"],
                "Detector": "HAADF",
                "DetectorIndex": "1",
            }
            metadata(group, tree)
        if spectrum is not None:
            group = file.create_group("Data/Spectrum/c")
            group["Data"] = spectrum[:, None].astype(np.uint32)
            metadata(group, velox_metadata())
    return path


def test_ripple(tmp_path):
    signals = open_raw(write_ripple(tmp_path))
    (image,) = signals.spectrum_images
    np.testing.assert_array_equal(image.counts, COUNTS)
    assert isinstance(image.counts, np.memmap)
    np.testing.assert_allclose(image.energy, -0.1 + 0.02 * np.arange(32))
    np.testing.assert_allclose(image.y_nm, 3.0 * np.arange(5))
    np.testing.assert_allclose(image.x_nm, 2.0 * np.arange(7))
    assert image.acquisition["beam_energy_kev"].value == 200.0
    assert image.acquisition["beam_energy_kev"].origin == "file"
    assert set(image.acquisition) == {"beam_energy_kev", "signal_type"}
    assert [s["file"] for s in signals.sources] == ["map.rpl", "map.raw"]
    assert all(len(s["sha256"]) == 64 for s in signals.sources)


def test_ripple_by_image_and_big_endian(tmp_path):
    counts = np.ascontiguousarray(COUNTS.transpose(2, 0, 1)).astype(">u2")
    path = write_ripple(tmp_path, counts, record_by="image", byte_order="big-endian")
    image = open_raw(path).spectrum_images[0]
    np.testing.assert_array_equal(np.asarray(image.counts), COUNTS)
    write_store(open_raw(path), tmp_path / "s.zarr")
    np.testing.assert_array_equal(load_spectrum_image(tmp_path / "s.zarr").counts[:], COUNTS)


def test_ripple_of_one_column(tmp_path):
    path = write_ripple(tmp_path, COUNTS[:, :1].copy(), width=1)
    assert open_raw(path).spectrum_images[0].shape == (5, 1, 32)


@pytest.mark.parametrize("counts", [COUNTS[:-1], np.concatenate([COUNTS, COUNTS[:1]])])
def test_ripple_of_another_size(tmp_path, counts):
    with pytest.raises(ReadError, match=r"map\.raw has \d+ bytes, but 5 x 7 pixels of 32.*2240"):
        open_raw(write_ripple(tmp_path, counts))


def test_ripple_without_raw(tmp_path):
    path = write_ripple(tmp_path)
    path.with_suffix(".raw").unlink()
    with pytest.raises(ReadError, match=r"there is no map\.raw beside it"):
        open_raw(path)


def test_ripple_that_is_no_map(tmp_path):
    path = write_ripple(tmp_path, COUNTS[:, :, 0].copy(), depth=1, record_by="dont-care")
    with pytest.raises(ReadError, match=r"not a spectrum image"):
        open_raw(path)


def test_ripple_without_calibration_is_refused_unless_the_user_gives_it(tmp_path):
    path = write_ripple(tmp_path, ev_per_chan=None, depth_origin=None, signal=None)
    with pytest.raises(ReadError, match="signal type"):
        open_raw(path)
    with pytest.raises(ReadError, match=r"not calibrated.*depth-scale"):
        open_raw(path, acquisition_overrides={"signal_type": "EDS_TEM"})
    image = open_raw(
        path,
        acquisition_overrides={
            "signal_type": "EDS_TEM",
            "energy_scale_kev": 0.01,
            "energy_offset_kev": -0.2,
            "pixel_size_nm": 5.0,
            "beam_energy_kev": 80.0,
            "thickness_nm": None,
        },
    ).spectrum_images[0]
    np.testing.assert_allclose(image.energy, -0.2 + 0.01 * np.arange(32))
    np.testing.assert_allclose(image.y_nm, 5.0 * np.arange(5))
    assert image.attrs["pixel_size_origin"] == "user"
    assert image.acquisition["beam_energy_kev"].origin == "user"
    assert "thickness_nm" not in image.acquisition


def test_offset_of_the_user_leaves_the_scale_to_the_file(tmp_path):
    given = {"energy_offset_kev": -0.2}
    image = open_raw(write_ripple(tmp_path), acquisition_overrides=given).spectrum_images[0]
    np.testing.assert_allclose(image.energy, -0.2 + 0.02 * np.arange(32))


def test_unknown_pixel_size_is_said_to_be_assumed(tmp_path):
    image = open_raw(write_ripple(tmp_path, width_units=None)).spectrum_images[0]
    assert image.attrs["pixel_size_origin"] == "default"
    assert image.attrs["pixel_size_nm"] == [1.0, 1.0]


@pytest.mark.parametrize("chunks", [True, False])
def test_hyperspy(tmp_path, chunks):
    survey = np.arange(12.0).reshape(3, 4)
    images = [("HAADF", survey)]
    path = write_hspy(tmp_path, images=images, chunks=chunks, live_time=3.0, elevation_angle=22.0)
    tree = read(path)
    np.testing.assert_array_equal(tree["edxs/counts"].values, COUNTS)
    assert (tree["edxs/counts"].chunks is not None) == chunks
    np.testing.assert_array_equal(tree["survey/haadf"].values, survey)
    np.testing.assert_allclose(tree["edxs/x"], 10.0 + 2.0 * np.arange(7))
    acquisition = tree["edxs"].attrs["acquisition"]
    assert acquisition["live_time_s"] == {"value": 3.0, "origin": "file"}
    assert acquisition["elevation_deg"] == {"value": 22.0, "origin": "file"}
    assert open_raw(path).original_metadata["map"] == {"vendor": "by hand"}


def test_values_that_exspy_invents_are_not_the_files(tmp_path):
    values = {"elevation_angle": 35.0, "azimuth_angle": 0.0, "energy_resolution_MnKa": 130.0}
    acquisition = open_raw(write_hspy(tmp_path, **values)).spectrum_images[0].acquisition
    for name in ("elevation_deg", "azimuth_deg", "energy_resolution_ev"):
        assert acquisition[name].origin == "default"
    values["azimuth_angle"] = 45.0
    acquisition = open_raw(write_hspy(tmp_path, **values)).spectrum_images[0].acquisition
    assert acquisition["elevation_deg"].origin == "file"


def test_negative_scale_is_turned_with_the_data(tmp_path):
    image = open_raw(write_hspy(tmp_path, flip=True)).spectrum_images[0]
    np.testing.assert_allclose(image.x_nm, -2.0 + 2.0 * np.arange(7))
    np.testing.assert_array_equal(np.asarray(image.counts[:, :, :]), COUNTS[:, ::-1])


def test_hyperspy_without_a_map(tmp_path):
    path = tmp_path / "map.hspy"
    with h5py.File(write_hspy(tmp_path, images=[("HAADF", np.ones((3, 4)))]), "a") as file:
        del file["Experiments/map"]
    with pytest.raises(ReadError, match=r"only an image of 3 x 4 \(HAADF\)"):
        read(path)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN"), (-2.0, "negative"), (0.5, "fractions")]
)
def test_counts_that_cannot_be(tmp_path, value, message):
    counts = COUNTS.astype(np.float32)
    counts[1, 2, 3] = value
    path = write_hspy(tmp_path, counts)
    with pytest.raises(ReadError, match=rf"map\.hspy.*{message}"):
        read(path)
    with pytest.raises(ReadError, match=rf"map\.hspy.*{message}"):
        write_store(open_raw(path), tmp_path / "s.zarr")
    assert [p.name for p in tmp_path.iterdir()] == ["map.hspy"]


def test_map_without_counts(tmp_path):
    with pytest.raises(ReadError, match="no counts in 5 x 7 pixels"):
        read(write_ripple(tmp_path, np.zeros_like(COUNTS)))


def test_velox(tmp_path, capfd):
    signals = open_raw(write_velox(tmp_path, spectrum=COUNTS.sum(axis=(0, 1))))
    (image,) = signals.spectrum_images
    np.testing.assert_array_equal(np.asarray(image.counts), COUNTS)
    np.testing.assert_allclose(image.energy, -0.2 + 0.01 * np.arange(32))
    np.testing.assert_allclose(image.y_nm, 10.0 + 3.0 * np.arange(5))
    np.testing.assert_allclose(image.x_nm, 2.0 * np.arange(7))
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert values == {
        "beam_energy_kev": 200.0,
        "dwell_time_s": 0.1,
        "n_frames": 2,
        "n_detectors": 1,
        "elevation_deg": 22.0,
        "stage_tilt_deg": 0.0,
        "microscope": "Talos",
        "detector": "SuperXG21",
        "signal_type": "EDS_TEM",
        "date": "2017-07-14T02:40:00+00:00",
        "real_time_s": 7.0,
        "live_time_s": 6.5,
    }
    assert image.acquisition["signal_type"].origin == "default"
    np.testing.assert_array_equal(signals.surveys[0].values, np.full((5, 7), 5.5))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("shapes", [((5, 7), (64, 64)), ((64, 64), (5, 7))])
def test_velox_takes_the_size_that_the_stream_fills(tmp_path, shapes):
    signals = open_raw(write_velox(tmp_path, shapes=shapes))
    np.testing.assert_array_equal(np.asarray(signals.spectrum_images[0].counts), COUNTS)
    assert {survey.shape for survey in signals.surveys} == {(5, 7), (64, 64)}


def test_velox_refuses_a_size_that_cannot_be(tmp_path):
    with pytest.raises(ReadError, match=r"size of the scan.*70 pixels.*images of 64 x 64"):
        open_raw(write_velox(tmp_path, shapes=((64, 64),)))


def test_velox_counts_are_those_of_its_detectors(tmp_path):
    spectrum = COUNTS.sum(axis=(0, 1))
    spectrum[3] += 1
    with pytest.raises(ReadError, match=rf"{COUNTS.sum()} counts.*{COUNTS.sum() + 1}"):
        open_raw(write_velox(tmp_path, spectrum=spectrum))


def test_velox_many_counts_do_not_wrap(tmp_path):
    counts = np.zeros((1, 2, 8), dtype=np.int64)
    counts[0, 1, 3] = 70_000
    path = write_velox(tmp_path, counts=counts, shapes=((1, 2),))
    write_store(open_raw(path), tmp_path / "s.zarr")
    assert load_spectrum_image(tmp_path / "s.zarr").counts[0, 1, 3] == 70_000


def test_velox_events_beyond_the_last_channel(tmp_path):
    stream = np.append(velox_stream(COUNTS, 2), [40, 65535]).astype(np.uint16)
    with pytest.raises(ReadError, match="1 events lie above the last of 32 channels"):
        open_raw(write_velox(tmp_path, stream=stream))


def test_velox_without_stream(tmp_path):
    path = write_velox(tmp_path)
    with h5py.File(path, "a") as file:
        del file["Data/SpectrumStream/a"]
    with pytest.raises(ReadError, match="pruned"):
        open_raw(path)
    with h5py.File(path, "a") as file:
        del file["Data/SpectrumImage"]
    with pytest.raises(ReadError, match="no spectrum image, only 1 Image"):
        open_raw(path)
    (tmp_path / "map").mkdir()
    together = open_raw([write_ripple(tmp_path / "map"), path])
    assert together.group_names == ("edxs",)
    assert [survey.shape for survey in together.surveys] == [(5, 7)]


def test_missing_and_misnamed_files(tmp_path):
    with pytest.raises(ReadError, match="no such file"):
        read(tmp_path / "absent.emd")
    with pytest.raises(ReadError, match="a directory"):
        read(tmp_path)
    with pytest.raises(InputError, match="no raw file"):
        read([])
    for name, content, message in (
        ("a.emd", b"", r"empty \(0 bytes\)"),
        ("a.xyz", b"x", r"'\.xyz' is not supported. Supported: Velox \(\.emd\), Bruker"),
        ("a", b"x", "without suffix"),
        ("b.emd", b"not HDF5", "does not begin like a Velox or NCEM file"),
        ("a.bcf", b"AAMVHFSS" + bytes(100), "table of contents is damaged"),
        ("a.rpl", b"\x00\xff\x00 nothing", r"a\.raw beside it"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadError, match=rf"{name}: .*{message}|{message}"):
            read(tmp_path / name)


def test_hdf5_of_another_kind(tmp_path):
    for name in ("a.emd", "a.hspy", "a.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = 1
        with pytest.raises(ReadError, match="an HDF5 file, but not one of"):
            read(tmp_path / name)


def test_truncated_header_of_ripple(tmp_path):
    path = write_ripple(tmp_path)
    path.write_text("key\tvalue\nwidth\t7\n")
    with pytest.raises(ReadError, match=r"map\.rpl: cannot be read \(KeyError"):
        read(path)


def test_memory_limit(tmp_path):
    path = write_velox(tmp_path)
    with pytest.raises(MemoryLimitError, match=r"map\.emd.*limit of 1e-06 GB"):
        open_raw(path, settings=Convert(memory_limit_gb=1e-6))


def test_hashing_can_be_left_out(tmp_path):
    (source, _) = open_raw(write_ripple(tmp_path), settings=Convert(hash_inputs=False)).sources
    assert "sha256" not in source


def test_two_maps_for_one_dataset_are_refused(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    with pytest.raises(InputError, match="2 spectrum images of one kind"):
        open_raw([write_ripple(one), write_hspy(two)])


def test_vendor_logging_never_reaches_stdout(tmp_path, capfd):
    read(write_velox(tmp_path))
    logging.getLogger("rsciio.emd").warning("loud")
    assert capfd.readouterr().out == ""


def test_describe(tmp_path):
    path = write_velox(tmp_path)
    raw = describe(path)
    write_store(open_raw(path), tmp_path / "s.zarr")
    stored = describe(tmp_path / "s.zarr")
    json.dumps([raw, stored], allow_nan=False)
    for found in (raw, stored):
        (signal,) = found["signals"]
        assert signal["shape"] == [5, 7, 32]
        assert signal["total_counts"] == COUNTS.sum()
        assert signal["axes"]["energy"] == "-0.2 to 0.11 keV, step 0.01"
        assert signal["acquisition"]["beam_energy_kev"] == {"value": 200.0, "origin": "file"}
        assert found["surveys"][0]["shape"] == [5, 7]
    assert (raw["kind"], stored["kind"]) == ("raw file", "store")
    assert "sha256" in stored["source"][0]
