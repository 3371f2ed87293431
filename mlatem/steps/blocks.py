# SPDX-License-Identifier: GPL-3.0-or-later
"""The factorisation of a very large map, as jobs on blocks of its tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlatem import api
from mlatem import settings as _settings
from mlatem.errors import ConfigError, StoreError
from mlatem.factorization.abundances import DominantSums, OtherAbundances, PixelAbundances
from mlatem.factorization.merge import merge as merge_tiles
from mlatem.factorization.outliers import OutlierSearch, OutlierSums, with_outliers
from mlatem.factorization.prior_places import phase_patterns
from mlatem.factorization.regions import PoolingPlan, add_regions
from mlatem.io.arrays import load_arrays, save_arrays
from mlatem.io.datasets import save_dataset
from mlatem.io.detector_tables import with_detector_file
from mlatem.model import Dictionary, RegionStatistics
from mlatem.model.prior_conflicts import in_words
from mlatem.model.priors import Priors
from mlatem.parallel.tiling import Tile, block_of_tiles
from mlatem.passes import (
    Progress,
    TileAbundances,
    TileSource,
    abundances_pass,
    regions_pass,
)
from mlatem.passes.placement import Placement
from mlatem.passes.placement import place_regions as place
from mlatem.physics.own_columns import own_columns
from mlatem.steps.compositions import Compositions, load_compositions, save_compositions
from mlatem.steps.inputs import (
    Path_,
    check_window,
    content_of,
    load_calibration,
    load_lowrank,
    open_source,
)
from mlatem.steps.progress import progress

_ONLY_BLOCK = "1-of-1"
_OTHER = "other."


def place_regions(
    store: Path_,
    calibration: Path_,
    lowrank: Path_,
    *,
    regions: Path_,
    edxs: _settings.Edxs,
    settings: _settings.Factorize,
    threads: int = 1,
) -> None:
    """Plan how similar pixels are pooled, from the scores of a sample of the whole map.

    Parameters
    ----------
    store, calibration, lowrank : path-like
        What `convert`, `calibrate` and `denoise` wrote.
    regions : path-like
        File to write (.npz): what all blocks share.
    edxs, settings : settings records
    threads : int, optional
        Tiles worked on at a time.
    """
    image, _ = open_source(store)
    dictionary = api.edxs_dictionary(image, load_calibration(calibration), edxs=edxs)
    basis, total_counts = load_lowrank(lowrank, dictionary)
    source = _source(store, dictionary.first_channel, basis.energy.size, threads)
    with progress("place regions") as advance:
        watched = _with_progress(source, advance)
        placed = place(watched, basis, dictionary, settings, total_counts=total_counts)
    search = placed.search
    described = {f.name: getattr(search, f.name) for f in fields(search) if f.name != "directions"}
    save_arrays(
        regions,
        {"axes": placed.axes, "centroids": placed.centroids, "directions": search.directions},
        {
            "plan": asdict(placed.plan),
            "search": described,
            "n_coherent": placed.n_coherent,
            "first_channel": source.channels.start,
        },
    )


def pool_regions(
    store: Path_,
    regions: Path_,
    *,
    sums: Path_,
    priors: Priors | None = None,
    block: str = _ONLY_BLOCK,
    threads: int = 1,
) -> None:
    """Sum the spectra of similar pixels in one block of tiles.

    Parameters
    ----------
    store, regions : path-like
        What `convert` and `place_regions` wrote.
    sums : path-like
        File to write (.npz); the sums of all blocks add up to those of the map.
    priors : Priors, optional
        Pixels in which different phases may be are summed apart.
    block : str, optional
        "2-of-4" is the second of four blocks.
    threads : int, optional
        Tiles worked on at a time.
    """
    first_channel, placed = _load_regions(regions)
    source = _source(store, first_channel, placed.axes.shape[1], threads)
    tiles = tiles_of_block(source.tiles, block)
    patterns = None if priors is None else phase_patterns(priors, source.shape)
    with progress("pool regions") as advance:
        watched = _with_progress(source, advance)
        parts, outliers = regions_pass(
            watched, placed.axes, placed.centroids, placed.plan, placed.search, tiles, patterns
        )
    save_arrays(
        sums,
        {
            "counts": np.stack([part.counts for part in parts]),
            "n_pixels": np.stack([part.n_pixels for part in parts]),
            **{f"outliers.{name}": values for name, values in vars(outliers).items()},
        },
        {
            "block": block,
            "first_channel": first_channel,
            "n_patterns": 1 if patterns is None else patterns.n_patterns,
        },
    )


def solve_compositions(
    store: Path_,
    calibration: Path_,
    regions: Path_,
    sums: Sequence[Path_],
    *,
    compositions: Path_,
    edxs: _settings.Edxs,
    settings: _settings.Factorize,
    priors: Priors | None = None,
    threads: int = 1,
) -> None:
    """Compositions of the phases from the pooled spectra of all blocks.

    Parameters
    ----------
    store, calibration, regions : path-like
        What `convert`, `calibrate` and `place_regions` wrote.
    sums : sequence of path-like
        What `pool_regions` wrote for every block.
    compositions : path-like
        File to write (.npz).
    edxs, settings : settings records
    priors : Priors, optional
        What is known of the phases, with the places that the sums were made with.
    threads : int, optional
        Thinnings solved at a time.

    Raises
    ------
    InputError
        If the data carry fewer phases than asked for, or the priors do not belong to them.
    StoreError
        If the sums are damaged, or were made in another window than the calibration's, or with
        priors of other places.
    """
    image, _ = open_source(store)
    known = load_calibration(calibration)
    settings = api.with_geometry_of(priors, settings)
    edxs = with_detector_file(edxs)
    dictionary = api.edxs_dictionary(image, known, edxs=edxs)
    patterns, named = None, None
    if priors is not None:
        patterns = phase_patterns(priors, image.counts.shape[:2])
        named = api.named_phases(priors, dictionary, patterns)
    n_patterns = 1 if patterns is None else patterns.n_patterns
    _, placed = _load_regions(regions)
    pooled, outliers = _load_sums(sums[0], dictionary, n_patterns)
    for path in sums[1:]:
        part, apart = _load_sums(path, dictionary, n_patterns)
        pooled, outliers = add_regions(pooled, part), outliers + apart
    own = own_columns(dictionary, known, edxs)
    solution = api.solve_phases(
        with_outliers(pooled, outliers, placed.search),
        dictionary,
        settings,
        n_coherent=placed.n_coherent,
        own_columns=own,
        named=named,
        threads=threads,
    )
    save_compositions(
        compositions,
        Compositions(
            solution,
            dictionary,
            settings,
            api.patterns_of_phases(patterns, solution),
            {} if priors is None else in_words(priors),
        ),
    )


def fit_abundances(
    store: Path_,
    compositions: Path_,
    *,
    abundances: Path_,
    block: str = _ONLY_BLOCK,
    threads: int = 1,
) -> None:
    """Abundances of the phases in every pixel of one block of tiles.

    Parameters
    ----------
    store, compositions : path-like
        What `convert` and `solve_compositions` wrote.
    abundances : path-like
        File to write (.npz).
    block : str, optional
        "2-of-4" is the second of four blocks.
    threads : int, optional
        Tiles worked on at a time.
    """
    known = load_compositions(compositions)
    solution, dictionary = known.solution, known.dictionary
    spectrum, other = solution.spectrum(dictionary), solution.other_spectrum(dictionary)
    source = _source(store, dictionary.first_channel, dictionary.energy.size, threads)
    tiles = tiles_of_block(source.tiles, block)
    with progress("fit abundances") as advance:
        watched = _with_progress(source, advance)
        parts = list(abundances_pass(watched, spectrum, tiles, known.patterns, other))
    sums = DominantSums.zero(solution.n_phases, dictionary.energy.size)
    for _, _, part in parts:
        sums = sums + part
    n_phases = solution.n_phases
    empty = PixelAbundances(
        np.zeros((0, n_phases), np.float32),
        np.zeros((0, n_phases, n_phases), np.float32),
        np.zeros(0, np.float32),
        np.zeros(0, bool),
        np.zeros((0, n_phases), np.float32),
        OtherAbundances(np.zeros((0, n_phases), np.float32), np.zeros(0, np.float32))
        if other is not None
        else None,
    )
    columns = [_columns(pixels) for _, pixels, _ in parts] or [_columns(empty)]
    save_arrays(
        abundances,
        {
            "pixel": np.concatenate([pixel for pixel, _, _ in parts] or [np.zeros(0, np.int64)]),
            "dominant_counts": sums.counts,
            "dominant_abundance": sums.abundance,
            **{name: np.concatenate([c[name] for c in columns]) for name in columns[0]},
        },
        {"block": block},
    )


def merge(
    store: Path_, compositions: Path_, abundances: Sequence[Path_], *, factorization: Path_
) -> None:
    """The abundances of all blocks and the compositions as one factorisation.

    Parameters
    ----------
    store, compositions : path-like
        What `convert` and `solve_compositions` wrote.
    abundances : sequence of path-like
        What `fit_abundances` wrote for every block.
    factorization : path-like
        Folder to write.
    """
    image, _ = open_source(store)
    known = load_compositions(compositions)
    result = merge_tiles(
        _load_abundances(abundances),
        known.solution,
        known.dictionary,
        y_nm=image.y_nm,
        x_nm=image.x_nm,
        attrs=api.solve_attrs(known.solution, known.settings, known.priors),
        mask=image.mask,
    )
    save_dataset(result.to_dataset(), factorization)


def tiles_of_block(tiles: Sequence[Tile], block: str) -> tuple[Tile, ...]:
    """The tiles of a block named like "2-of-4".

    Raises
    ------
    ConfigError
        If the name has another form.
    """
    number, separator, total = block.partition("-of-")
    if not (separator and number.isdigit() and total.isdigit()):
        raise ConfigError(f"block {block!r}: expected a name like 2-of-4")
    return block_of_tiles(tiles, int(number) - 1, int(total))


def _source(store: Path_, first_channel: int, n_energy: int, threads: int) -> TileSource:
    image, tile_shape = open_source(store)
    return TileSource(
        image.counts,
        slice(first_channel, first_channel + n_energy),
        label=str(store),
        tile_shape=tile_shape,
        threads=threads,
        mask=image.mask,
    )


def _with_progress(source: TileSource, advance: Progress | None) -> TileSource:
    return replace(source, progress=advance)


def _load_regions(path: Path_) -> tuple[int, Placement]:
    arrays, attrs = load_arrays(path)
    with content_of(path, "a plan of regions", "place_regions"):
        placed = Placement(
            arrays["axes"],
            arrays["centroids"],
            PoolingPlan(**attrs["plan"]),
            OutlierSearch(arrays["directions"], **attrs["search"]),
            attrs["n_coherent"],
        )
        return attrs["first_channel"], placed


def _load_sums(
    path: Path_, dictionary: Dictionary, n_patterns: int
) -> tuple[tuple[RegionStatistics, ...], OutlierSums]:
    arrays, attrs = load_arrays(path)
    with content_of(path, "sums of regions", "pool_regions"):
        pairs = zip(arrays["counts"], arrays["n_pixels"], strict=True)
        parts = tuple(RegionStatistics(counts, n_pixels) for counts, n_pixels in pairs)
        outliers = OutlierSums(*(arrays[f"outliers.{f.name}"] for f in fields(OutlierSums)))
        first, n_energy = attrs["first_channel"], arrays["counts"].shape[2]
        n_found = attrs["n_patterns"]
    if n_found != n_patterns:
        raise StoreError(
            f"{path}: sums over {n_found} groups of pixels, but the regions of the priors make "
            f"{n_patterns}: run pool_regions again with these priors"
        )
    check_window(path, slice(first, first + n_energy), dictionary)
    return parts, outliers


def _columns(pixels: PixelAbundances) -> dict[str, NDArray[Any]]:
    """The arrays of a record, those of the other answer under names of their own."""
    own = {name: values for name, values in vars(pixels).items() if name != "other"}
    of_other = {} if pixels.other is None else vars(pixels.other)
    return own | {f"{_OTHER}{name}": values for name, values in of_other.items()}


def _load_abundances(paths: Sequence[Path_]) -> Iterator[TileAbundances]:
    for path in paths:
        arrays, _ = load_arrays(path)
        names = [field.name for field in fields(PixelAbundances) if field.name != "other"]
        of_other = {
            name.removeprefix(_OTHER): values
            for name, values in arrays.items()
            if name.startswith(_OTHER)
        }
        with content_of(path, "abundances", "fit_abundances"):
            pixel = arrays["pixel"]
            other = OtherAbundances(**of_other) if of_other else None
            pixels = PixelAbundances(**{name: arrays[name] for name in names}, other=other)
            sums = DominantSums(arrays["dominant_counts"], arrays["dominant_abundance"])
        yield pixel, pixels, sums
