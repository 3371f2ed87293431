# SPDX-License-Identifier: GPL-3.0-or-later
"""JEOL event streams: made by hand, and real ones whole, cut, interrupted and damaged."""

import copy
import struct
import tracemalloc

import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.counts import check_counts
from mlatem.io.formats import jeol
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.formats.jeol_file import load_pts
from mlatem.io.formats.jeol_stream import FrameCube, electron_image, frames_of
from mlatem.io.info import describe
from mlatem.io.read import open_raw, read
from mlatem.io.store import load_spectrum_image, load_survey, write_store
from mlatem.settings import Convert

SHAPE = (4, 8)
STREAM_AT = 512
WHOLE = "rsciio/jeol/Sample/00_View000/View000_0000006.pts"
INTERRUPTED = "rsciio/jeol/InvalidFrame/Sample/00_Dummy-Data/Dummy-Data_00000{}.pts"

HEADER = {
    "PTTD Data": {
        "AnalyzableMap MeasData": {
            "Doc": {
                "LiveTime": 3.0,
                "RealTime": 3.2,
                "DwellTime(msec)": 100.0,
                "Sweep": 3,
                "CoefA": 0.01,
                "CoefB": -0.001,
            },
            "Meas Cond": {"Tpl": "T4", "Pixels": "8x4"},
            "MeasCond": {"AccKV": np.float32(15.0), "Mag": 1000},
        }
    },
    "PTTD Param": {
        "Params": {
            "PARAMPAGE0_SEM": {"ScanSize": np.float32(0.04), "ElevAng": np.float32(22.3)},
            "PARAMPAGE1_EDXRF": {"Tpl": {"T4": {"DigZ": 96}}},
        }
    },
}


def frame_words(counts, image=None):
    """A sweep over counts (y, x, channel), the way JEOL writes it."""
    ny, nx, _ = counts.shape
    words = []
    for y in range(ny):
        words.append(0x9000 | y * 4096 // ny)
        for x in range(nx):
            channels = np.repeat(np.arange(counts.shape[2]), counts[y, x])
            if image is not None or len(channels):
                words.append(0x8000 | x * 4096 // nx)
            if image is not None:
                words.append(0xA000 | int(image[y, x]))
            words.extend(0xB000 | channels)
        words.extend([0x6000, 0x7000])
    return words


@pytest.fixture
def frames():
    """Counts (frame, y, x, channel) of three sweeps."""
    return np.random.default_rng(4).poisson(0.02, (3, *SHAPE, 300))


@pytest.fixture
def stream(frames):
    return np.array([w for f in frames for w in frame_words(f)], np.uint16)


def write_pts(folder, words, declared=None):
    path = folder / "map.pts"
    size = 2 * len(words) if declared is None else declared
    numbers = [0, 1, 100, 200, STREAM_AT, size]
    prefix = struct.pack("<I8s6I128s132sd", 304, b"PTTDFILE", *numbers, b"", b"", 44000.5)
    path.write_bytes(prefix.ljust(STREAM_AT, b"\0") + np.asarray(words, "<u2").tobytes())
    return path


def signals_of(path, **reading):
    file = load_pts(path, lambda _: HEADER)
    return jeol.signals(path, file, AxisOverrides(), Convert(**reading))


def test_cube_is_the_sum_of_the_frames(stream, frames):
    cube = FrameCube(stream, frames_of(stream, SHAPE), SHAPE)
    expected = frames.sum(axis=0)
    np.testing.assert_array_equal(np.asarray(cube)[:, :, :300], expected)
    for region in (
        (slice(1, 3), slice(2, 7), slice(40, 90)),
        (slice(3, 4), slice(None), slice(0, 300)),
        (slice(0, 4), slice(7, 8), slice(299, 300)),
        (slice(2, 2), slice(None), slice(0, 300)),
    ):
        np.testing.assert_array_equal(cube[region], expected[region])


def test_more_than_65535_counts_in_a_channel_do_not_wrap():
    words = np.full(70002, 0xB123, np.uint16)
    words[:2] = 0x9000, 0x8000
    cube = FrameCube(words, frames_of(words, (1, 1)), (1, 1))
    assert cube[:, :, 0x123:0x124].item() == 70000


def test_electron_image_is_the_mean_of_the_frames(frames):
    images = np.random.default_rng(1).integers(0, 4096, (3, *SHAPE))
    pairs = zip(frames, images, strict=True)
    words = np.array([w for f, i in pairs for w in frame_words(f, i)], np.uint16)
    found = frames_of(words, SHAPE)
    assert all(frame.is_whole(SHAPE) for frame in found)
    np.testing.assert_allclose(electron_image(words, found, SHAPE), images.mean(axis=0), rtol=1e-6)
    last_column = np.flatnonzero(words >> 12 == 8)[-1]
    assert not frames_of(words[:last_column], SHAPE)[-1].is_whole(SHAPE)


def test_whole_stream(stream, frames, tmp_path):
    signals = signals_of(write_pts(tmp_path, stream))
    image = signals.spectrum_images[0]
    assert check_counts(signals, image).total == frames.sum()
    assert "warnings" not in image.attrs
    assert signals.surveys == ()
    np.testing.assert_allclose(image.x_nm[:2], [0, 5])
    np.testing.assert_allclose(image.y_nm[:2], [0, 10])
    np.testing.assert_allclose(image.energy[[0, 96]], [-0.961, -0.001])
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert values == {
        "beam_energy_kev": 15.0,
        "live_time_s": 3.0,
        "real_time_s": 3.2,
        "dwell_time_s": 0.1,
        "n_frames": 3,
        "elevation_deg": 22.3,
        "date": "2020-06-18T12:00:00",
        "signal_type": "EDS_SEM",
    }


def test_length_of_the_whole_file_instead_of_the_stream(stream, tmp_path):
    path = write_pts(tmp_path, stream, STREAM_AT + 2 * len(stream))
    assert "warnings" not in signals_of(path).spectrum_images[0].attrs


def test_cut_stream_keeps_its_whole_frames_and_says_so(stream, frames, tmp_path):
    last = frames_of(stream, SHAPE)[-1]
    cut = stream[: last.row_starts[2] + 3]
    signals = signals_of(write_pts(tmp_path, cut, 2 * len(stream)))
    image = signals.spectrum_images[0]
    assert check_counts(signals, image).total == frames[:2].sum()
    assert image.acquisition["n_frames"].value == 2
    assert "live_time_s" not in image.acquisition
    text = " ".join(image.attrs["warnings"])
    assert f"{2 * len(cut)} of {2 * len(stream)} bytes" in text
    assert "2 of 3 frames are whole" in text


def test_zeroed_words_cost_their_frame_and_are_told(stream, frames, tmp_path):
    start = frames_of(stream, SHAPE)[1].row_starts[1] + 2
    stream[start : start + 10] = 0
    signals = signals_of(write_pts(tmp_path, stream))
    image = signals.spectrum_images[0]
    assert check_counts(signals, image).total == frames[[0, 2]].sum()
    assert "10 of" in " ".join(image.attrs["warnings"])


def test_interruption_in_the_first_frame_keeps_what_was_scanned(stream, frames, tmp_path):
    begun = stream[: frames_of(stream, SHAPE)[0].row_starts[2]]
    signals = signals_of(write_pts(tmp_path, begun))
    image = signals.spectrum_images[0]
    np.testing.assert_array_equal(image.counts[:2, :, :300], frames[0, :2])
    assert not image.counts[2:].any()
    assert "rows 1 to 2 of 4" in image.attrs["warnings"][0]
    assert "n_frames" not in image.acquisition


def test_words_that_cannot_be_placed_are_told(stream, tmp_path):
    stray = np.concatenate([[0xB001], stream[:1], [0xB001, 0xC001], stream[1:]])
    image = signals_of(write_pts(tmp_path, stray)).spectrum_images[0]
    text = " ".join(image.attrs["warnings"])
    assert "2 counts have no position" in text
    assert "1 words of the stream are of unknown kinds" in text


@pytest.mark.parametrize("pixels", ["8x3", "7x4", "8x2", "4x4"])
def test_stream_of_another_size_than_the_header_is_refused(pixels, stream, tmp_path):
    header = copy.deepcopy(HEADER)
    header["PTTD Data"]["AnalyzableMap MeasData"]["Meas Cond"]["Pixels"] = pixels
    file = load_pts(write_pts(tmp_path, stream), lambda _: header)
    with pytest.raises(ReadError, match=r"holds no whole frame of \d x \d pixels"):
        jeol.signals(tmp_path / "map.pts", file, AxisOverrides(), Convert())


@pytest.mark.parametrize("pixels", ["", "8x", "0x4", "8x5000"])
def test_impossible_size_is_refused(pixels, stream, tmp_path):
    header = copy.deepcopy(HEADER)
    header["PTTD Data"]["AnalyzableMap MeasData"]["Meas Cond"]["Pixels"] = pixels
    file = load_pts(write_pts(tmp_path, stream), lambda _: header)
    with pytest.raises(ReadError, match="size of its scan"):
        jeol.signals(tmp_path / "map.pts", file, AxisOverrides(), Convert())


@pytest.mark.parametrize("n_words", [0, 1, 20])
def test_stream_without_a_whole_frame_is_refused(n_words, stream, tmp_path):
    path = write_pts(tmp_path, stream[:n_words], 2 * len(stream))
    with pytest.raises(ReadError, match=r"map\.pts"):
        signals_of(path)


def test_real_map(test_data, tmp_path):
    signals = open_raw(test_data / WHOLE)
    image = signals.spectrum_images[0]
    assert image.shape == (512, 512, 4096)
    assert check_counts(signals, image).total == 308261
    assert "warnings" not in image.attrs
    values = {name: entry.value for name, entry in image.acquisition.items()}
    assert values["beam_energy_kev"] == 200.0
    assert values["elevation_deg"] == 22.3
    assert values["energy_resolution_ev"] == 138.0
    assert values["live_time_s"] == 325.46
    assert values["n_frames"] == 14
    assert values["date"].startswith("2017-04-07")
    assert image.attrs["pixel_size_nm"] == pytest.approx([8.69140625] * 2)
    assert image.energy[0] == pytest.approx(-0.96066132)


def test_decoding_a_tile_does_not_make_the_cube(test_data):
    signals = open_raw(test_data / WHOLE)
    counts = signals.spectrum_images[0].counts
    np.asarray(counts[:1, :1])
    tracemalloc.start()
    tile = counts[64:128, 448:512]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert tile.nbytes <= peak < 1.1 * tile.nbytes


def test_real_map_equals_that_of_the_vendor_reader(test_data):
    reader = pytest.importorskip("rsciio.jeol")
    path = test_data / WHOLE
    (theirs,) = reader.file_reader(str(path), downsample=8, rebin_energy=16, SI_dtype=np.uint16)
    image = open_raw(path).spectrum_images[0]
    binned = np.concatenate(
        [
            image.counts[y : y + 32].reshape(4, 8, 64, 8, 256, 16).sum(axis=(1, 3, 5))
            for y in range(0, 512, 32)
        ]
    )
    assert binned.sum() == 308261
    np.testing.assert_array_equal(binned, theirs["data"])


def test_real_cut_map_is_converted_with_its_warning(test_data, tmp_path, caplog):
    signals = open_raw(test_data / "corrupt/jeol_t50.pts")
    assert "677892 of 1372168 bytes" in caplog.text
    assert check_counts(signals, signals.spectrum_images[0]).total == 132233
    details = describe(test_data / "corrupt/jeol_t50.pts")["signals"][0]["details"]
    assert "6 of 14 frames are whole" in details["warnings"][0]


@pytest.mark.parametrize(("number", "total"), [("07", 1497), ("15", 2537)])
def test_real_interrupted_maps(number, total, test_data, tmp_path):
    signals = open_raw(test_data / INTERRUPTED.format(number))
    store = tmp_path / "s.zarr"
    write_store(signals, store)
    image = load_spectrum_image(store)
    assert image.counts.shape == (64, 64, 4096)
    assert image.counts.attrs["total_counts"] == total
    assert image.attrs["warnings"] == signals.spectrum_images[0].attrs["warnings"]
    assert load_survey(store).shape == (64, 64)


@pytest.mark.parametrize("fraction", [0.0001, 0.005, 0.02, 0.06])
def test_real_map_cut_before_its_first_frame_ends(fraction, test_data, tmp_path):
    content = (test_data / WHOLE).read_bytes()
    path = tmp_path / "cut.pts"
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(ReadError, match=r"cut\.pts"):
        read(path)


def test_some_frames(stream, frames, tmp_path):
    path = write_pts(tmp_path, stream)
    found = signals_of(path, first_frame=2, separate_frames=True)
    image = found.spectrum_images[0]
    np.testing.assert_array_equal(image.counts[:, :, :300], frames[1:].sum(axis=0))
    (split,) = found.splits
    assert split.labels == (2, 3)
    for part, frame in zip(split.parts, frames[1:], strict=True):
        np.testing.assert_array_equal(part[:, :, :300], frame)
    assert image.attrs["frames_summed"] == {"first": 2, "last": 3, "of": 3}
    whole = signals_of(path).spectrum_images[0].acquisition
    assert image.acquisition["n_frames"].value == 2
    live = image.acquisition["live_time_s"]
    assert live.value == pytest.approx(whole["live_time_s"].value * 2 / 3)
    assert live.origin == "default"
    with pytest.raises(ReadError, match="frames 1 to 4 are asked for, but the map has 3"):
        signals_of(path, last_frame=4)
