# SPDX-License-Identifier: GPL-3.0-or-later
"""Drift between the frames of a scan, from the file to the store."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from mlatem.errors import InputError
from mlatem.io.event_streams import NEXT_PIXEL
from mlatem.io.read import open_raw
from mlatem.io.signals import Frames, RawSignals, Split
from mlatem.io.store import load_spectrum_image, write_store
from mlatem.io.validate import validate_store
from mlatem.io.views import StreamCube
from mlatem.model import Acquisition, SpectrumImage, Value
from mlatem.preparation import decisions_of, prepare, verdicts_of
from mlatem.settings import Convert, Preprocess

SHAPE = (72, 60, 8)
MARGIN = 12
PATH = np.array([[0, 0], [1, 0], [2, -1], [3, -1], [3, -2], [4, -2], [4, -3], [4, -3]])
DRIFT = Preprocess(drift="auto", bad_pixels="none")
TEN_FRAMES = "hyperspy-1.7.6-wheel/fei_SI_SuperX-HAADF_10frames_10x50.emd"
JEOL = "rsciio/jeol/Sample/00_View000/View000_0000006.pts"


def stream_of(frames):
    """The event stream of frames (n_frames, ny, nx, n_channels), channel by channel."""
    flat = frames.reshape(-1, frames.shape[-1])
    marks = np.column_stack([flat, np.ones(len(flat), dtype=int)])
    words = np.tile(np.append(np.arange(flat.shape[1]), NEXT_PIXEL), len(flat))
    return np.repeat(words, marks.ravel()).astype(np.uint16)


def scene(seed=0):
    rng = np.random.default_rng(seed)
    size = SHAPE[0] + 2 * MARGIN, SHAPE[1] + 2 * MARGIN
    spots = gaussian_filter((rng.random(size) < 0.02) * rng.uniform(5, 20, size), 1.5)
    return 0.3 + 20 * spots / spots.max()


def recorded(path, seed=0):
    """Counts (n_frames, *SHAPE) of a scene that has moved by the path in every frame."""
    rng = np.random.default_rng(50 + seed)
    cut = (slice(MARGIN, -MARGIN),) * 2
    images = [shift(scene(seed), step, order=3, mode="nearest")[cut].clip(0) for step in path]
    share = rng.dirichlet(np.full(SHAPE[2], 3.0))
    return rng.poisson(np.array(images)[..., None] * share)


def signals_of(frames, images=None):
    cube = StreamCube([stream_of(frames)], SHAPE, len(frames))
    clocks = {"live_time_s": Value(80.0, "file"), "n_frames": Value(len(frames), "file")}
    image = SpectrumImage(
        cube,
        energy=0.1 * np.arange(SHAPE[2]),
        y_nm=np.arange(SHAPE[0], dtype=float),
        x_nm=np.arange(SHAPE[1], dtype=float),
        acquisition=Acquisition(clocks),
    )
    parts = Frames(
        len(frames),
        lambda i: cube.part(frames=range(i, i + 1)).pixel_totals(),
        cube.moved,
        None if images is None else images.__getitem__,
        "" if images is None else "HAADF",
    )
    return RawSignals((image,), frames=parts, n_frames=len(frames))


def stored(signals, folder, settings=DRIFT):
    prepared = prepare(signals, settings)
    write_store(prepared.signals, folder / "spim.zarr", review=prepared.review)
    assert validate_store(folder / "spim.zarr", deep=True) == []
    return load_spectrum_image(folder / "spim.zarr")


def test_frames_lie_on_each_other_and_no_count_is_made_up(tmp_path):
    """Each frame is recovered whole where all overlap: the sum is that of shifted frames."""
    frames = recorded(PATH)
    image = stored(signals_of(frames), tmp_path)
    moves = np.array([image.attrs["preprocess"]["drift"][axis] for axis in ("y_px", "x_px")]).T
    moves = np.rint(moves).astype(int)
    assert np.ptp(moves + PATH, axis=0).max() == 0
    expected = sum(np.roll(f, m, axis=(0, 1)) for f, m in zip(frames, moves, strict=True))
    inside = ~image.mask
    np.testing.assert_array_equal(np.asarray(image.counts)[inside], expected[inside])
    rows, columns = SHAPE[0] - 4, SHAPE[1] - 3
    assert inside.sum() == rows * columns
    (decision,) = decisions_of(image)
    assert decision.choice == "8 of 8 frames moved by whole pixels and summed"
    assert decision.setting == "preprocess.drift"
    drift, masked = verdicts_of(image)
    assert drift.value == pytest.approx(4.0, abs=0.3)
    assert masked.value == pytest.approx(100 * image.mask.mean())


def test_the_map_is_sharper(tmp_path):
    frames = recorded(PATH * 1.37)
    image = stored(signals_of(frames), tmp_path)
    still = recorded(np.zeros((8, 2)), seed=0).sum(axis=0)
    inside = ~image.mask

    def contrast(counts):
        totals = np.asarray(counts).sum(axis=2)[inside]
        return totals.var() / totals.mean() ** 2

    # Whole pixels leave errors of up to a half.
    assert contrast(image.counts) > 0.85 * contrast(still)
    assert contrast(frames.sum(axis=0)) < 0.75 * contrast(still)


def test_a_frame_that_fits_nowhere_is_left_out(tmp_path):
    frames = recorded(PATH)
    frames[3] = np.random.default_rng(1).poisson(0.3, SHAPE)
    image = stored(signals_of(frames), tmp_path)
    assert image.attrs["preprocess"]["drift"]["is_used"] == [i != 3 for i in range(8)]
    drift, _ = verdicts_of(image)
    assert drift.status == "warning"
    assert "1 frames fit nowhere" in drift.message
    assert image.acquisition["live_time_s"] == Value(70.0, "default")
    assert image.acquisition.number("n_frames") == 7


def test_frames_that_do_not_drift_stay(tmp_path):
    frames = recorded(np.zeros((4, 2)))
    image = stored(signals_of(frames), tmp_path)
    np.testing.assert_array_equal(image.counts, frames.sum(axis=0))
    assert image.mask is None
    assert decisions_of(image)[0].choice == "frames as they are"


def test_images_of_the_frames_are_preferred_to_counts(tmp_path):
    """Counts too few to tell, but an image that shows the drift."""
    rng = np.random.default_rng(0)
    cut = (slice(MARGIN, -MARGIN),) * 2
    images = np.array([shift(scene(), s, order=3, mode="nearest")[cut] for s in PATH])
    images += rng.normal(0, 0.2, images.shape)
    frames = rng.binomial(recorded(PATH), 1e-3)
    signals = signals_of(frames, images)
    image = stored(signals, tmp_path)
    drift = image.attrs["preprocess"]["drift"]
    assert drift["reference"] == "HAADF"
    assert np.ptp(np.rint([drift["y_px"], drift["x_px"]]).T + PATH, axis=0).max() == 0
    by_counts = prepare(signals, DRIFT.model_copy(update={"drift": "counts"})).signals.xray_map
    assert decisions_of(by_counts)[0].choice == "drift between frames not corrected"
    assert by_counts.mask is None


def test_crops_and_masks_follow_the_correction(tmp_path):
    frames = recorded(PATH)
    whole = prepare(signals_of(frames), DRIFT).signals.xray_map
    settings = DRIFT.model_copy(update={"crop_y": (2, 70), "energy_bin": 2})
    image = stored(signals_of(frames), tmp_path, settings)
    np.testing.assert_array_equal(image.mask, whole.mask[2:70])
    expected = np.asarray(whole.counts)[2:70].reshape(68, SHAPE[1], 4, 2).sum(axis=3)
    np.testing.assert_array_equal(image.counts, expected)


def test_what_cannot_be_corrected(tmp_path):
    frames = recorded(PATH)
    signals = signals_of(frames)
    with pytest.raises(InputError, match="no image of each frame"):
        prepare(signals, DRIFT.model_copy(update={"drift": "image"}))
    split = Split("frame", tuple(range(1, 9)), tuple(frames))
    with pytest.raises(InputError, match="separate_frames"):
        prepare(RawSignals(signals.spectrum_images, splits=(split,), frames=signals.frames), DRIFT)
    alone = prepare(RawSignals(signals.spectrum_images), DRIFT).signals.xray_map
    assert "does not tell its frames apart" in decisions_of(alone)[0].reason
    assert alone.counts is signals.xray_map.counts


@pytest.mark.parametrize(("name", "n_frames"), [(TEN_FRAMES, 10), (JEOL, 14)])
def test_real_frames(name, n_frames, test_data, tmp_path):
    """Whatever is found, the frames that are used are all in the sum where they overlap."""
    if not (test_data / name).is_file():
        pytest.skip(f"{name} is not among the test data")
    signals = open_raw(test_data / name, settings=Convert(hash_inputs=False))
    assert signals.frames.n_frames == n_frames
    ny, nx, _ = signals.xray_map.shape
    totals = [signals.frames.totals_of(i) for i in range(n_frames)]
    prepared = prepare(signals, DRIFT).signals.xray_map
    drift = prepared.attrs["preprocess"].get("drift")
    moves = [(0, 0)] * n_frames
    if drift is not None:
        steps = np.rint([drift["y_px"], drift["x_px"]]).astype(int).T.tolist()
        moves = [m if used else None for m, used in zip(steps, drift["is_used"], strict=True)]
    used = [np.roll(t, m, axis=(0, 1)) for t, m in zip(totals, moves, strict=True) if m is not None]
    inside = np.ones((ny, nx), dtype=bool) if prepared.mask is None else ~prepared.mask
    found = np.zeros((ny, nx), dtype=np.int64)
    for row in range(0, ny, 32):
        found[row : row + 32] = np.asarray(prepared.counts[row : row + 32]).sum(axis=2)
    np.testing.assert_array_equal(found[inside], sum(used)[inside])
