# SPDX-License-Identifier: GPL-3.0-or-later
"""Search of a map for axes of elements that only few pixels hold."""

from __future__ import annotations

import logging

from mlatem.denoising import rare_axes
from mlatem.denoising.residuals import LineGroups
from mlatem.model import Basis, Dictionary, thin
from mlatem.parallel.map import map_tiles
from mlatem.parallel.tiling import Tile
from mlatem.passes import TileSource

_logger = logging.getLogger(__name__)

_MOST = 3
_SEED = 0


def with_rare_axes(
    source: TileSource, basis: Basis, dictionary: Dictionary, lines: LineGroups | None
) -> tuple[Basis, tuple[rare_axes.RareAxis, ...]]:
    """The basis and an axis for each element that stands out in few pixels.

    Parameters
    ----------
    source : TileSource
    basis : Basis
    dictionary : Dictionary
    lines : LineGroups, optional
        Of all elements; without them those of the dictionary are looked for.

    Returns
    -------
    basis : Basis
    axes : tuple of RareAxis
        In the order of the basis's last axes. One pass over the counts for each, and one.

    Notes
    -----
    A pixel is chosen where one half of its photons, matched with the lines of an element outside
    of the axes so far, stands out. The other half, which is independent, tells whether the
    chosen pixels have the element: without it, their scores add up to zero but for noise.
    """
    found: list[rare_axes.RareAxis] = []
    while len(found) < _MOST:
        searched = rare_axes.directions(basis, dictionary, lines)
        if not searched.elements:
            break
        axis, direction = rare_axes.find(rare_sums(source, searched, basis), searched, dictionary)
        if not rare_axes.is_significant(axis):
            break
        _logger.info("%s in few pixels: %.1f sigma", axis.element, axis.significance)
        basis = rare_axes.with_axis(basis, axis, direction)
        found.append(axis)
    return basis, tuple(found)


def rare_sums(
    source: TileSource, searched: rare_axes.Directions, basis: Basis
) -> rare_axes.RareSums:
    """What every element sums up to in the pixels that stand out, over the whole map."""

    def of_tile(tile: Tile) -> rare_axes.RareSums:
        outer = tile.padded(rare_axes.HALO_PX, source.shape)
        first, second = thin(source.load(outer), _SEED)
        core = tile.within(outer)
        return rare_axes.tile_sums(
            first,
            second,
            searched,
            basis.weights,
            shape=outer.shape,
            core=core,
            masked=source.masked_in(outer),
        )

    total = rare_axes.RareSums.zero(len(searched.elements))
    for part in map_tiles(of_tile, source.tiles, threads=source.threads, progress=source.progress):
        total = total + part
    return total
