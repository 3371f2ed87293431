# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigid drift between the frames of a scan, by phase correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array = NDArray[np.float64]
Images = NDArray[np.float32]

#: A peak of the correlation at least so many standard deviations high is no chance.
LEAST_PEAK = 6.0
#: Of frames, or of groups of them, so many must have such a peak.
_SHARE_FOUND = 0.8
#: Shifts known no better than this, pixels, would blur a map.
_LARGEST_ERROR_PX = 0.5
#: Drift is no drift that spans less than so many standard errors.
_LEAST_SPAN = 4.0
#: Drift is looked for up to this share of the rows and columns.
_FARTHEST = 0.25
#: Standard deviation of the Gaussian under which images are compared, pixels.
_BLUR_PX = 1.0
#: Share of the rows and columns over which images fade out at their borders.
_FADED = 0.25
#: Beyond this frequency, cycles per pixel, images hold noise.
_NOISE_FREQUENCY = 0.35
_MAX_ROUNDS = 6
_SETTLED_PX = 0.02
#: Memory for images of frames.
_IMAGE_BYTES = 2**28
#: Around the peak these pixels do not count for the noise of the correlation.
_PEAK_PX = 3


@dataclass(frozen=True)
class DriftPath:
    """By how much every frame has to be moved to lie on the others."""

    shift_px: Array
    """Shape (n_frames, 2); rows and columns, about zero in the middle."""
    is_used: NDArray[np.bool_]
    """Shape (n_frames,); False for frames that fit to no place of the others."""
    n_together: int
    """Frames of which only the sum shows enough to be compared."""
    error_px: float | None = None
    """Standard error of a shift; None where it is not known."""

    @property
    def moved_px(self) -> NDArray[np.int64]:
        """Shape (n_frames, 2); the nearest whole pixels."""
        return np.rint(self.shift_px).astype(np.int64)

    @property
    def is_drift(self) -> bool:
        """Whether frames move by a pixel or more, and by more than the error of their shifts."""
        least = _LEAST_SPAN * (self.error_px or 0.0)
        return bool(self.moved_px[self.is_used].any()) and self.span_px > least

    @property
    def span_px(self) -> float:
        """Largest distance between two frames along rows or columns."""
        return float(np.ptp(self.shift_px[self.is_used], axis=0).max())

    def covered(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of a map of `shape` (ny, nx) that lie in every frame, once moved."""
        moved = self.moved_px[self.is_used]
        first = np.maximum(moved.max(axis=0), 0)
        end = np.array(shape) + np.minimum(moved.min(axis=0), 0)
        return slice(int(first[0]), int(end[0])), slice(int(first[1]), int(end[1]))


def find_drift(
    image_of: Callable[[int], NDArray[Any]], n_frames: int, *, are_counts: bool
) -> DriftPath | None:
    """The drift of a scan from one image a frame.

    Parameters
    ----------
    image_of : callable
        Image of shape (ny, nx) of the frame of that number, from 0. Called once a frame.
    n_frames : int
    are_counts : bool
        Whether images are counts of pixels, or else an analog signal such as that of an electron
        detector.

    Returns
    -------
    path : DriftPath or None
        None where the frames are too few, or show too little to be compared.

    Notes
    -----
    The correlation of two spectra is divided by the root of their power, with that of the noise
    added (phase correlation, Kuglin & Hines 1975, regularised): where structure is far above the
    noise, only its phase counts, and what is noise has little weight. Each frame is compared with
    the mean of all others, as they lie by the round before; these are moved by a phase, which
    counts never are. The path grows from the two neighbouring frames that fit best, so that no bad
    frame starts it. Where single frames show too little, two, four, ... are summed.

    Frames of noise can be moved so that their noise fits: of counts, both halves of a random split
    of the photons must give the same path. Half their difference is the standard error.
    """
    stack, n_together = _stacked(image_of, n_frames)
    while len(stack) > 1:
        shift, peak = _Groups.of(_images(stack, are_counts)).registered()
        is_used = peak >= LEAST_PEAK
        is_found = bool(np.mean(is_used) >= _SHARE_FOUND)
        error = _error_px(stack, is_used) if is_found and are_counts else None
        if is_found and (error is None or error < _LARGEST_ERROR_PX):
            group = np.minimum(np.arange(n_frames) // n_together, len(stack) - 1)
            shift -= _origin(shift[is_used])
            shift[~is_used] = 0.0
            return DriftPath(shift[group], is_used[group], n_together, error)
        stack, n_together = _by_two(stack), 2 * n_together
    return None


def _stacked(image_of: Callable[[int], NDArray[Any]], n_frames: int) -> tuple[Images, int]:
    """Images of frames, or sums of as many as memory asks for, and how many that are."""
    first = np.asarray(image_of(0), dtype=np.float32)
    n_together = max(1, -(-n_frames * first.nbytes // _IMAGE_BYTES))
    stack = np.zeros((max(1, n_frames // n_together), *first.shape), dtype=np.float32)
    for i in range(n_frames):
        # The last frames, too few for a sum of their own, go into the last one.
        stack[min(i // n_together, len(stack) - 1)] += first if i == 0 else image_of(i)
    return stack, n_together


def _by_two(stack: Images) -> Images:
    """Sums of two neighbours; an odd one goes into the last sum."""
    return np.add.reduceat(stack, 2 * np.arange(max(1, len(stack) // 2)), axis=0)


def _images(stack: Images, are_counts: bool) -> Images:
    """What is compared: of counts the roots, whose noise is the same everywhere."""
    return np.sqrt(stack) if are_counts else stack


def _error_px(stack: Images, is_used: NDArray[np.bool_]) -> float:
    """Standard error of the shifts: half the spread between those of two halves of the photons."""
    generator = np.random.default_rng(0)
    first = generator.binomial(stack.astype(np.int64), 0.5).astype(np.float32)
    one, _ = _Groups.of(np.sqrt(first)).registered()
    other, _ = _Groups.of(np.sqrt(stack - first)).registered()
    apart = (one - other)[is_used]
    return float(0.5 * np.sqrt(np.mean(np.var(apart, axis=0, ddof=1))))


def _origin(shift: Array) -> Array:
    """The median, less what would put most shifts far from whole pixels."""
    phase = np.exp(2j * np.pi * shift).mean(axis=0)
    between = np.angle(phase) / (2 * np.pi)
    return np.asarray(np.rint(np.median(shift, axis=0) - between) + between)


@dataclass(frozen=True)
class _Groups:
    """Spectra of images, of single frames or of sums of some."""

    spectrum: NDArray[np.complex64]
    """Shape (n_groups, ny, nx // 2 + 1), padded."""
    noise: Array
    """Shape (n_groups,); power of the noise."""
    shape: tuple[int, int]
    """Padded rows and columns."""
    farthest: tuple[int, int]

    @classmethod
    def of(cls, images: Images) -> _Groups:
        _, ny, nx = images.shape
        farthest = max(1, int(_FARTHEST * ny)), max(1, int(_FARTHEST * nx))
        shape = fft.next_fast_len(ny + farthest[0]), fft.next_fast_len(nx + farthest[1])
        from scipy.signal.windows import tukey  # 20 MB that most analyses do not need

        window = np.outer(tukey(ny, _FADED), tukey(nx, _FADED))
        fy, fx = np.meshgrid(fft.fftfreq(shape[0]), fft.rfftfreq(shape[1]), indexing="ij")
        is_noise = np.hypot(fy, fx) > _NOISE_FREQUENCY
        spectra, noise = [], []
        for image in images:
            faded = (image - np.average(image, weights=window)) * window
            spectrum = fft.rfft2(faded, shape)
            power = np.abs(spectrum[is_noise]) ** 2
            noise.append(float(np.median(power)) / np.log(2.0) + 1e-12 * float(power.max()))
            spectra.append(spectrum.astype(np.complex64))
        return cls(np.stack(spectra), np.array(noise), shape, farthest)

    def registered(self) -> tuple[Array, Array]:
        """Shifts (n_groups, 2) and heights of their peaks, standard deviations."""
        n_groups = len(self.spectrum)
        pairs = [
            self._compared(i + 1, self.spectrum[i], self.noise[i]) for i in range(n_groups - 1)
        ]
        start = int(np.argmax([peak for _, peak in pairs]))
        shift, peak = np.zeros((n_groups, 2)), np.zeros(n_groups)
        in_sum = np.zeros(n_groups, dtype=bool)
        total, in_sum[start] = self.spectrum[start].copy(), True
        grown = [*range(start + 1, n_groups), *range(start - 1, -1, -1)]
        for order in (grown, *[range(n_groups)] * _MAX_ROUNDS):
            before = shift.copy()
            for i in order:
                if in_sum[i]:
                    total -= self.spectrum[i] * self._phase(shift[i])
                    in_sum[i] = False
                shift[i], peak[i] = self._compared(i, total, float(self.noise[in_sum].sum()))
                if peak[i] >= LEAST_PEAK or not in_sum.any():
                    total += self.spectrum[i] * self._phase(shift[i])
                    in_sum[i] = True
            settled = np.abs(shift - before)[in_sum].max() < _SETTLED_PX
            if order is not grown and settled:
                break
        return shift, peak

    def _phase(self, shift: Array) -> NDArray[np.complex64]:
        """What moves the image of a spectrum by rows and columns."""
        y = np.exp(-2j * np.pi * fft.fftfreq(self.shape[0]) * shift[0])
        x = np.exp(-2j * np.pi * fft.rfftfreq(self.shape[1]) * shift[1])
        return np.asarray(np.multiply.outer(y, x), dtype=np.complex64)

    def _compared(
        self, group: int, reference: NDArray[np.complex64], noise: float
    ) -> tuple[Array, float]:
        """Shift that moves a group onto a reference, and the height of its peak."""
        mine = self.spectrum[group]
        power = (np.abs(mine) ** 2 + self.noise[group]) * (np.abs(reference) ** 2 + noise)
        fy, fx = fft.fftfreq(self.shape[0]), fft.rfftfreq(self.shape[1])
        blur = np.exp(-2 * (np.pi * _BLUR_PX) ** 2 * (fy[:, None] ** 2 + fx**2))
        scale = np.sqrt(np.maximum(power, np.finfo(np.float32).tiny))
        correlation = fft.irfft2(reference * np.conj(mine) / scale * blur, self.shape)
        return _highest(correlation, self.farthest)


def _highest(correlation: Array, farthest: tuple[int, int]) -> tuple[Array, float]:
    """Place of the highest value near the origin, between pixels, and its height."""
    far_y, far_x = farthest
    near = np.roll(correlation, farthest, axis=(0, 1))[: 2 * far_y + 1, : 2 * far_x + 1]
    y, x = np.unravel_index(int(np.argmax(near)), near.shape)
    rows, columns = np.indices(near.shape)
    rest = near[np.maximum(np.abs(rows - y), np.abs(columns - x)) > _PEAK_PX]
    noise = float(rest.std()) if rest.size else 0.0
    height = float(near[y, x] - rest.mean()) / noise if noise > 0 else 0.0
    place = np.array([y - far_y, x - far_x])
    part = np.roll(correlation, 1 - place, axis=(0, 1))[:3, :3]
    return place + np.array([_vertex(part[:, 1]), _vertex(part[1])]), height


def _vertex(values: Array) -> float:
    """Where the parabola through three values, of which the middle one is highest, has its top."""
    curvature = values[0] - 2 * values[1] + values[2]
    return float(0.5 * (values[0] - values[2]) / curvature) if curvature < 0 else 0.0
