# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing of the score maps of a whole image, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from mlatem import settings
from mlatem.denoising import smoothing
from mlatem.denoising.guide import guide_classes, noise_of
from mlatem.denoising.smoothing import GUARD_MARGIN, Smoothing
from mlatem.denoising.wavelets import BandSums, Classes, mirrored
from mlatem.errors import InputError
from mlatem.io.score_maps import Maps
from mlatem.model import Basis
from mlatem.parallel.map import map_tiles
from mlatem.parallel.tiling import Tile, plan_tiles

#: Rows and columns of a block; the halo around it is about as wide as half of it.
BLOCK_PX = 256
_ROWS = 64

R = TypeVar("R")


@dataclass(frozen=True)
class SmoothedScores:
    """Scores for viewing, and where they are as measured."""

    scores: Any
    """Array of shape (ny, nx, rank), float32; NaN where masked."""
    guard: Any
    """Array of shape (ny, nx); 1 in pixels of which at least one score stayed as it was: pixels of
    a rare phase, and one in some 10,000 by chance."""


def smooth_scores(
    scores: Any,
    basis: Basis,
    *,
    spatial: settings.Spatial = "wavelet",
    guide: NDArray[np.floating] | None = None,
    maps: Maps | None = None,
    threads: int = 1,
    block_px: int = BLOCK_PX,
    has_unit_noise: bool = False,
) -> SmoothedScores:
    """Smooth the score maps of a whole image.

    Parameters
    ----------
    scores : array of shape (ny, nx, rank)
        From `mlatem.passes.scores_pass`, sliced block by block. Masked pixels hold NaN and take no
        part.
    basis : Basis
    spatial : {"wavelet", "total_variation", "none"}, optional
    guide : ndarray of shape (ny, nx), optional
        An image of the same area (see `mlatem.denoising.guide`), for wavelets.
    maps : Maps, optional
        Where the smoothed maps are made.
    threads : int, optional
        Blocks worked on at a time.
    block_px : int, optional
        Rows and columns of a block. The result depends on it by rounding only.
    has_unit_noise : bool, optional
        Whether the noise of all scores is one, as of dense spectra; that of counts follows from the
        counts that the scores stand for.

    Returns
    -------
    SmoothedScores

    Raises
    ------
    InputError
        If shapes disagree.

    Notes
    -----
    Memory is that of a block for each thread, but for total variation, which holds whole maps, and
    for masked pixels: 8 bytes for every pixel of the map while the nearest measured ones are
    looked for.
    """
    _check(scores, basis, guide)
    maps = maps or Maps()
    image = _Image.of(scores, basis, spatial, guide)
    if spatial == "none" or image.fill.masked.all():
        return SmoothedScores(scores, np.zeros(scores.shape[:2], dtype=np.uint8))
    tiles = _plan(scores.shape[:2], image.how, block_px)
    over = partial(_over, tiles=tiles, threads=threads)
    if has_unit_noise:
        parts = _unit_rounds(image, over)
    else:
        parts = _rounds(image, over, maps.scratch("rough", scores.shape, np.float32), tiles)
    result = maps.create("smoothed_scores", scores.shape, np.float32)
    guard = maps.create("guard", scores.shape[:2], np.uint8)
    for tile, (values, stays) in zip(tiles, parts, strict=True):
        values[:, image.fill.masked[tile.slices]] = np.nan
        result[tile.slices] = np.moveaxis(values, 0, 2)
        guard[tile.slices] = stays
    return SmoothedScores(result, guard)


_Smoothed = tuple[NDArray[np.float32], NDArray[np.bool_]]


def _rounds(
    image: _Image, over: Callable[..., Iterator[Any]], rough: Any, tiles: tuple[Tile, ...]
) -> Iterator[_Smoothed]:
    """The smoothed blocks of a map of counts; `rough` is filled with the first round's."""
    how, reach = image.how, image.how.transform.reach

    def first_sums(tile: Tile) -> tuple[BandSums, ...]:
        return smoothing.first_sums(image.raw(tile, reach), how, image.classes_of_sums(tile))

    first = _total(over(first_sums))

    def first_round(tile: Tile) -> NDArray[np.float32]:
        raw = image.raw(tile, 2 * reach)
        return smoothing.first_round(raw, how, first, image.classes(tile, 0))

    for tile, part in zip(tiles, over(first_round), strict=True):
        rough[tile.slices] = np.moveaxis(part, 0, 2)

    def second_sums(tile: Tile) -> tuple[BandSums, ...]:
        raw, near = image.raw(tile, reach), image.around(rough, tile, 0)
        return smoothing.second_sums(raw, near, how, image.classes_of_sums(tile))

    second = _total(over(second_sums))

    def second_round(tile: Tile) -> _Smoothed:
        raw = image.raw(tile, 2 * reach + GUARD_MARGIN)
        near = image.around(rough, tile, reach + GUARD_MARGIN)
        classes, inside = image.classes(tile, GUARD_MARGIN), image.inside(tile, GUARD_MARGIN)
        return smoothing.second_round(raw, near, how, second, classes, inside)

    return over(second_round)


def _unit_rounds(image: _Image, over: Callable[..., Iterator[Any]]) -> Iterator[_Smoothed]:
    """The smoothed blocks of a map whose scores have a noise of one."""
    how, reach = image.how, image.how.transform.reach

    def sums(tile: Tile) -> tuple[BandSums, ...]:
        return smoothing.unit_sums(image.raw(tile, reach), how, image.classes_of_sums(tile))

    total = _total(over(sums))

    def smoothed(tile: Tile) -> _Smoothed:
        raw = image.raw(tile, 2 * reach + GUARD_MARGIN)
        classes, inside = image.classes(tile, GUARD_MARGIN), image.inside(tile, GUARD_MARGIN)
        return smoothing.unit_round(raw, how, total, classes, inside)

    return over(smoothed)


def score_moment(scores: Any) -> tuple[int, NDArray[np.float64]]:
    """Pixels that are not masked, and the second moment (rank, rank) of their scores."""
    n_pixels, moment = 0, np.zeros((scores.shape[2],) * 2)
    for rows in _strips(scores.shape[0]):
        values = scores[rows].reshape(-1, scores.shape[2]).astype(np.float64)
        values = values[~np.isnan(values).any(axis=1)]
        n_pixels += len(values)
        moment += values.T @ values
    return n_pixels, moment


@dataclass(frozen=True)
class _Image:
    """Score maps, what is put into their gaps, and the guide: blocks with what surrounds them."""

    scores: Any
    how: Smoothing
    fill: _Fill
    guide: NDArray[np.float32] | None
    noise: float

    @classmethod
    def of(
        cls,
        scores: Any,
        basis: Basis,
        spatial: settings.Spatial,
        guide: NDArray[np.floating] | None,
    ) -> _Image:
        how = Smoothing.of(basis, scores.shape[:2], spatial)
        fill = _Fill.of(scores)
        if guide is None or spatial != "wavelet":
            return cls(scores, how, fill, None, 1.0)
        return cls(scores, how, fill, guide.astype(np.float32), noise_of(guide))

    def raw(self, tile: Tile, margin: int) -> NDArray[np.float32]:
        """Scores of a block and a margin, shape (rank, ny, nx), without gaps."""
        return self.around(self.scores, tile, margin, self.fill)

    def around(
        self, source: Any, tile: Tile, margin: int, fill: _Fill | None = None
    ) -> NDArray[np.float32]:
        """As `raw`, of any maps of the same shape."""
        rows, columns = self._places(tile, margin)
        top, left = rows.min(), columns.min()
        part = slice(top, rows.max() + 1), slice(left, columns.max() + 1)
        values = np.asarray(source[part])
        if fill is not None:
            values = fill.filled(values, part)
        inner = np.ix_(rows - top, columns - left)
        return np.ascontiguousarray(np.moveaxis(values[inner], 2, 0), dtype=np.float32)

    def classes_of_sums(self, tile: Tile) -> Classes:
        """Classes of the places of a block; all in one where there is no guide."""
        n_levels = self.how.transform.n_levels
        return self._classes(tile, self.how.transform.reach, [0] * n_levels)

    def classes(self, tile: Tile, margin: int) -> Classes:
        """Classes of the places on which a smoothed block and a margin depend."""
        transform = self.how.transform
        margins = [transform.reach_to(k + 1) + margin for k in range(transform.n_levels)]
        return self._classes(tile, 2 * transform.reach + margin, margins)

    def _classes(self, tile: Tile, margin: int, margins: list[int]) -> Classes:
        if self.guide is None:
            return Classes()
        block = np.ascontiguousarray(self.guide[np.ix_(*self._places(tile, margin))])
        return guide_classes(block, margin, self.noise, self.how.transform, margins)

    def inside(self, tile: Tile, margin: int) -> NDArray[np.bool_]:
        """Which pixels of a block and a margin are on the map and measured."""
        is_on_map = [
            (place >= 0) & (place < size)
            for place, size in zip(self._outer(tile, margin), self.scores.shape[:2], strict=True)
        ]
        masked = self.fill.masked[np.ix_(*self._places(tile, margin))]
        on_map: NDArray[np.bool_] = np.logical_and.outer(*is_on_map)
        return on_map & ~masked

    def _outer(self, tile: Tile, margin: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        around = partial(self.how.transform.around, margin=margin)
        return around(0, tile.y0, tile.y1), around(1, tile.x0, tile.x1)

    def _places(self, tile: Tile, margin: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        ny, nx = self.scores.shape[:2]
        rows, columns = self._outer(tile, margin)
        return mirrored(rows, ny), mirrored(columns, nx)


@dataclass(frozen=True)
class _Fill:
    """What stands in masked pixels while maps are smoothed: the scores of the nearest measured."""

    masked: NDArray[np.bool_]
    """Shape (ny, nx)."""
    row: NDArray[np.int32] | None = None
    """Shape (ny, nx); row of the table for masked pixels. None where no pixel is masked."""
    table: NDArray[np.float32] | None = None
    """Shape (n, rank)."""

    @classmethod
    def of(cls, scores: Any) -> _Fill:
        shape = ny, nx = scores.shape[:2]
        masked = np.zeros(shape, dtype=bool)
        for rows in _strips(ny):
            masked[rows] = np.isnan(scores[rows]).any(axis=2)
        if not masked.any() or masked.all():
            return cls(masked)
        nearest = distance_transform_edt(masked, return_distances=False, return_indices=True)
        place, row = np.unique(nearest[0][masked] * nx + nearest[1][masked], return_inverse=True)
        del nearest
        table = np.empty((place.size, scores.shape[2]), dtype=np.float32)
        for rows in _strips(ny):
            part = slice(*np.searchsorted(place, [rows.start * nx, rows.stop * nx]))
            if part.start < part.stop:
                values = np.asarray(scores[rows]).reshape(-1, scores.shape[2])
                table[part] = values[place[part] - rows.start * nx]
        row_of = np.zeros(shape, dtype=np.int32)
        row_of[masked] = row
        return cls(masked, row_of, table)

    def filled(self, values: NDArray[np.float32], part: tuple[slice, slice]) -> NDArray[np.float32]:
        """The scores of a part of the map without gaps."""
        masked = self.masked[part]
        if self.row is None or self.table is None or not masked.any():
            return values
        values = values.copy()
        values[masked] = self.table[self.row[part][masked]]
        return values


def _check(scores: Any, basis: Basis, guide: NDArray[np.floating] | None) -> None:
    if len(scores.shape) != 3 or scores.shape[2] != basis.rank:
        raise InputError(
            f"scores have shape {scores.shape}, expected (ny, nx, {basis.rank}) for this basis"
        )
    if guide is not None and guide.shape != scores.shape[:2]:
        raise InputError(
            f"the guide has shape {guide.shape}, but the map {scores.shape[:2]}: give it on the "
            "pixels of the map"
        )


def _plan(shape: tuple[int, int], how: Smoothing, block_px: int) -> tuple[Tile, ...]:
    """Blocks; whole along directions without a transform."""
    is_cut = [axis in how.transform.axes for axis in (0, 1)]
    rows, columns = (block_px if c else n for c, n in zip(is_cut, shape, strict=True))
    return plan_tiles(shape, (rows, columns))


def _over(function: Callable[[Tile], R], tiles: tuple[Tile, ...], threads: int) -> Iterator[R]:
    return map_tiles(function, tiles, threads=threads)


def _total(parts: Iterator[tuple[BandSums, ...]]) -> tuple[BandSums, ...]:
    total = next(parts)
    for part in parts:
        total = tuple(a + b for a, b in zip(total, part, strict=True))
    return total


def _strips(n_rows: int) -> Iterator[slice]:
    """Rows of a map, some at a time."""
    for start in range(0, n_rows, _ROWS):
        yield slice(start, min(start + _ROWS, n_rows))
