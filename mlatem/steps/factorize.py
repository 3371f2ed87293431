# SPDX-License-Identifier: GPL-3.0-or-later
"""The factorisation of a store, as jobs on blocks of tiles or in one go."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from os import PathLike
from pathlib import Path

import numpy as np

from mlatem import api
from mlatem import settings as _settings
from mlatem.errors import ConfigError, StoreError
from mlatem.factorization.abundances import DominantSums, PixelAbundances
from mlatem.factorization.merge import merge as merge_tiles
from mlatem.factorization.regions import PoolingPlan, add_regions
from mlatem.io.arrays import load_arrays, save_arrays
from mlatem.io.datasets import load_dataset, save_dataset
from mlatem.model import Basis, Dictionary, RegionStatistics
from mlatem.passes import (
    Progress,
    TileAbundances,
    TileSource,
    abundances_pass,
    centroids_pass,
    regions_pass,
)
from mlatem.physics.own_columns import own_columns
from mlatem.sheet import DatasetRow
from mlatem.steps.compositions import load_compositions, save_compositions
from mlatem.steps.inputs import content_of, load_calibration, open_source
from mlatem.steps.progress import progress
from mlatem.tiling import Tile, block_of_tiles

Path_ = str | PathLike[str]
_ONLY_BLOCK = "1-of-1"


def place_regions(
    store: Path_,
    lowrank: Path_,
    *,
    regions: Path_,
    settings: _settings.Factorize,
    threads: int = 1,
) -> None:
    """Plan how similar pixels are pooled, from the scores of a sample of the whole map.

    Parameters
    ----------
    store, lowrank : path-like
        What `convert` and `denoise` wrote.
    regions : path-like
        File to write (.npz): centroids shared by all blocks.
    settings : settings.Factorize
    threads : int, optional
        Tiles worked on at a time.
    """
    product = load_dataset(lowrank)
    with content_of(lowrank, "a low-rank product", "mlatem denoise"):
        basis = Basis.from_dataset(product)
        first_channel = int(product.attrs["first_channel"])
        total_counts = float(product.attrs["total_counts"])
    axes = basis.axes * basis.weights
    source = _source(store, first_channel, axes.shape[1], threads)
    plan = api.plan_regions(total_counts, source.shape, settings)
    with progress("place regions") as advance:
        centroids = centroids_pass(_with_progress(source, advance), axes, plan)
    attrs = {"plan": asdict(plan), "first_channel": source.channels.start}
    save_arrays(regions, {"axes": axes, "centroids": centroids}, attrs)


def pool_regions(
    store: Path_, regions: Path_, *, sums: Path_, block: str = _ONLY_BLOCK, threads: int = 1
) -> None:
    """Sum the spectra of similar pixels in one block of tiles.

    Parameters
    ----------
    store, regions : path-like
        What `convert` and `place_regions` wrote.
    sums : path-like
        File to write (.npz); the sums of all blocks add up to those of the map.
    block : str, optional
        "2-of-4" is the second of four blocks.
    threads : int, optional
        Tiles worked on at a time.
    """
    arrays, attrs = load_arrays(regions)
    with content_of(regions, "a plan of regions", "place_regions"):
        plan = PoolingPlan(**attrs["plan"])
        axes, centroids = arrays["axes"], arrays["centroids"]
        first_channel = attrs["first_channel"]
    source = _source(store, first_channel, axes.shape[1], threads)
    tiles = tiles_of_block(source.tiles, block)
    with progress("pool regions") as advance:
        parts = regions_pass(_with_progress(source, advance), axes, centroids, plan, tiles)
    save_arrays(
        sums,
        {
            "counts": np.stack([part.counts for part in parts]),
            "n_pixels": np.stack([part.n_pixels for part in parts]),
        },
        {"block": block, "first_channel": first_channel},
    )


def solve_compositions(
    store: Path_,
    calibration: Path_,
    sums: Sequence[Path_],
    *,
    compositions: Path_,
    edxs: _settings.Edxs,
    settings: _settings.Factorize,
) -> None:
    """Compositions of the phases from the pooled spectra of all blocks.

    Parameters
    ----------
    store, calibration : path-like
        What `convert` and `calibrate` wrote.
    sums : sequence of path-like
        What `pool_regions` wrote for every block.
    compositions : path-like
        File to write (.npz).
    edxs, settings : settings records

    Raises
    ------
    InputError
        If the data carry fewer phases than asked for.
    StoreError
        If the sums are damaged, or were made in another window than the calibration's.
    """
    image, _ = open_source(store)
    known = load_calibration(calibration)
    dictionary = api.edxs_dictionary(image, known, edxs=edxs)
    pooled = _load_sums(sums[0], dictionary)
    for path in sums[1:]:
        pooled = add_regions(pooled, _load_sums(path, dictionary))
    own = own_columns(dictionary, known, edxs)
    solution = api.solve_phases(pooled, dictionary, settings, own_columns=own)
    save_compositions(compositions, solution, dictionary, settings)


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
    solution, dictionary, _ = load_compositions(compositions)
    spectrum = solution.spectrum(dictionary)
    source = _source(store, dictionary.first_channel, dictionary.energy.size, threads)
    tiles = tiles_of_block(source.tiles, block)
    with progress("fit abundances") as advance:
        parts = list(abundances_pass(_with_progress(source, advance), spectrum, tiles))
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
    )
    columns = [vars(pixels) for _, pixels, _ in parts] or [vars(empty)]
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
    solution, dictionary, settings = load_compositions(compositions)
    result = merge_tiles(
        _load_abundances(abundances),
        solution,
        dictionary,
        y_nm=image.y_nm,
        x_nm=image.x_nm,
        attrs=api.solve_attrs(solution, settings),
    )
    save_dataset(result.to_dataset(), factorization)


def factorize(
    store: Path_,
    calibration: Path_,
    lowrank: Path_,
    *,
    factorization: Path_,
    edxs: _settings.Edxs,
    settings: _settings.Factorize,
    threads: int = 1,
) -> None:
    """Factorise a store in one go; the same steps as the workflow's jobs, in one block.

    Parameters
    ----------
    store, calibration, lowrank : path-like
        What `convert`, `calibrate` and `denoise` wrote.
    factorization : path-like
        Folder to write.
    edxs, settings : settings records
    threads : int, optional
        Tiles worked on at a time.
    """
    with tempfile.TemporaryDirectory() as folder:
        regions, sums, compositions, abundances = (
            Path(folder) / f"{name}.npz" for name in ("regions", "sums", "compositions", "pixels")
        )
        place_regions(store, lowrank, regions=regions, settings=settings, threads=threads)
        pool_regions(store, regions, sums=sums, threads=threads)
        solve_compositions(
            store, calibration, [sums], compositions=compositions, edxs=edxs, settings=settings
        )
        fit_abundances(store, compositions, abundances=abundances, threads=threads)
        merge(store, compositions, [abundances], factorization=factorization)


def factorize_settings(row: DatasetRow, settings: _settings.Factorize) -> _settings.Factorize:
    """The settings of one dataset: what its row of the sample sheet says takes precedence."""
    if row.n_phases is None:
        return settings
    return settings.model_copy(update={"n_phases": row.n_phases})


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
    )


def _with_progress(source: TileSource, advance: Progress | None) -> TileSource:
    return replace(source, progress=advance)


def _load_sums(path: Path_, dictionary: Dictionary) -> tuple[RegionStatistics, ...]:
    arrays, attrs = load_arrays(path)
    with content_of(path, "sums of regions", "pool_regions"):
        pairs = zip(arrays["counts"], arrays["n_pixels"], strict=True)
        parts = tuple(RegionStatistics(counts, n_pixels) for counts, n_pixels in pairs)
        first, n_energy = attrs["first_channel"], arrays["counts"].shape[2]
    if slice(first, first + n_energy) != dictionary.channels:
        raise StoreError(
            f"{path}: sums of channels {first} to {first + n_energy - 1}, but the calibration has "
            f"the window {dictionary.channels.start} to {dictionary.channels.stop - 1}: run "
            "denoise and the steps after it again with this calibration"
        )
    return parts


def _load_abundances(paths: Sequence[Path_]) -> Iterator[TileAbundances]:
    for path in paths:
        arrays, _ = load_arrays(path)
        names = [field.name for field in fields(PixelAbundances)]
        with content_of(path, "abundances", "fit_abundances"):
            pixel = arrays["pixel"]
            pixels = PixelAbundances(**{name: arrays[name] for name in names})
            sums = DominantSums(arrays["dominant_counts"], arrays["dominant_abundance"])
        yield pixel, pixels, sums
