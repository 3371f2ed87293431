# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases: compositions, spectra and abundance maps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.api.data import SpectrumImageLike, factorization_record, positions_nm, tile_source
from mlatem.api.priors import PriorsLike, load_priors, named_phases
from mlatem.denoising.rank import low_rank
from mlatem.errors import InputError
from mlatem.factorization import verdicts
from mlatem.factorization.constraints import NamedPhases
from mlatem.factorization.merge import merge
from mlatem.factorization.outliers import with_outliers
from mlatem.factorization.own_columns import OwnColumns
from mlatem.factorization.prior_places import PhasePatterns, phase_patterns
from mlatem.factorization.refinement import refine as refine_weights
from mlatem.factorization.solution import CompositionSolution
from mlatem.factorization.solver import estimate_n_phases, solve_compositions
from mlatem.io.detector_tables import with_detector_file
from mlatem.model import (
    Basis,
    Calibration,
    Dictionary,
    Factorization,
    RegionStatistics,
)
from mlatem.model.other_answer import other_answer as other_answer_of
from mlatem.model.prior_conflicts import agreed_geometry, in_words
from mlatem.model.priors import Priors
from mlatem.parallel.map import map_tiles
from mlatem.passes import (
    TileSource,
    abundances_pass,
    refinement_pass,
    regions_pass,
    statistics_pass,
)
from mlatem.passes.placement import place_regions
from mlatem.physics.own_columns import own_columns


def factorize(
    data: SpectrumImageLike | Any,
    dictionary: Dictionary,
    n_phases: int | str | None = None,
    *,
    priors: PriorsLike | None = None,
    calibration: Calibration | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Factorize | None = None,
    seed: int | None = None,
    **options: Any,
) -> xr.Dataset:
    """Phases of a spectrum image: compositions, spectra and abundance maps.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
        Raw counts.
    dictionary : Dictionary
    n_phases : int or "auto", optional
        Takes precedence over the settings'.
    priors : Priors, mapping or path-like, optional
        What is known of the phases: a YAML file, or a mapping of its form; see
        `mlatem.model.priors`. The attribute `phase_names` tells which phase is which.
    calibration : Calibration, optional
        From `mlatem.calibrate`. With it, the factors on lines are fitted together with the phases,
        and where the thickness is known, the X-rays of every phase are absorbed in its own
        composition, not in the specimen's mean.
    edxs : settings.Edxs, optional
        What the dictionary was built with; used together with `calibration`.
    settings : settings.Factorize, optional
    seed : int, optional
        Takes precedence over the settings'.
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    factorization : Dataset
        `spectrum` (phase, energy), `abundance` (y, x, phase), `coefficient` (phase, column) with
        their standard deviations; see `mlatem.model.Factorization`.

    Raises
    ------
    InputError
        If the counts cannot be used, or carry fewer phases than asked for, or the priors do not
        belong to the map or the dictionary.
    ConfigError
        If `n_phases` or `seed` is not possible, or the priors contradict themselves.
    ConvergenceError
        If the compositions could not be found.
    """
    given = {"n_phases": n_phases, "seed": seed}
    values = {**(settings or _settings.Factorize()).model_dump(), **_without_none(given)}
    settings = _settings.parse({"factorize": values}, source="mlatem.factorize").factorize
    source = tile_source(data, dictionary, **options).kept_in_memory()
    y_nm, x_nm = positions_nm(data, source.shape)
    statistics = statistics_pass(source)
    basis = low_rank(statistics, dictionary)
    total_counts = float(statistics.total.sum())
    del statistics  # the largest of all arrays here
    own = None
    if calibration is not None:
        own = own_columns(dictionary, calibration, with_detector_file(edxs))
    result = phases_of(
        source,
        basis,
        dictionary,
        settings,
        total_counts=total_counts,
        y_nm=y_nm,
        x_nm=x_nm,
        own_columns=own,
        priors=None if priors is None else load_priors(priors),
    )
    return result.to_dataset()


def phases_of(
    source: TileSource,
    basis: Basis,
    dictionary: Dictionary,
    settings: _settings.Factorize,
    *,
    total_counts: float,
    y_nm: NDArray[np.float64],
    x_nm: NDArray[np.float64],
    own_columns: OwnColumns | None = None,
    priors: Priors | None = None,
) -> Factorization:
    """All passes over a map from its low-rank basis to its phases.

    Parameters
    ----------
    source : TileSource
    basis : Basis
    dictionary : Dictionary
    settings : settings.Factorize
    total_counts : float
        Of the whole map in the dictionary's window.
    y_nm, x_nm : ndarray
        Positions of rows and columns, nm.
    own_columns : callable, optional
        See `mlatem.factorization.solver.solve_compositions`.
    priors : Priors, optional
        What is known of the phases; where it tells places, regions keep to them, and no outliers
        are set apart.

    Raises
    ------
    InputError, ConvergenceError
        As `factorize`.
    """
    named, patterns = None, None
    settings = with_geometry_of(priors, settings)
    if priors is not None:
        patterns = phase_patterns(priors, source.shape)
        named = named_phases(priors, dictionary, patterns)
    placed = place_regions(source, basis, dictionary, settings, total_counts=total_counts)
    shared, outliers = regions_pass(
        source,
        placed.axes,
        placed.centroids,
        placed.plan,
        placed.search,
        source.tiles,
        patterns,
    )
    regions = with_outliers(shared, outliers, placed.search)
    solution = solve_phases(
        regions,
        dictionary,
        settings,
        n_coherent=placed.n_coherent,
        own_columns=own_columns,
        named=named,
        threads=source.threads,
    )
    of_phases = patterns_of_phases(patterns, solution)
    tiles = abundances_pass(
        source,
        solution.spectrum(dictionary),
        source.tiles,
        of_phases,
        solution.other_spectrum(dictionary),
    )
    attrs = solve_attrs(solution, settings, None if priors is None else in_words(priors))
    return merge(tiles, solution, dictionary, y_nm=y_nm, x_nm=x_nm, attrs=attrs, mask=source.mask)


def refine(
    data: SpectrumImageLike | Any,
    factorization: xr.Dataset | Factorization,
    *,
    max_rounds: int = 15,
    **options: Any,
) -> xr.Dataset:
    """The nearest phases of maximum likelihood on all pixels at full resolution.

    Not part of `factorize`: free abundances in every pixel over-fit, and where the likelihood
    hardly tells mixtures of phases apart, its optimum may be degrees further from the truth. It is
    for counts so high that neither matters, and for comparisons.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
        The counts that were factorised; the mask is the factorisation's.
    factorization : Dataset or Factorization
        From `mlatem.factorize`.
    max_rounds : int, optional
        Most rounds over all pixels.
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    factorization : Dataset
        As from `factorize`; standard deviations of compositions are those of the start. `loss` is
        that of all pixels after each round.

    Raises
    ------
    InputError
        If the counts cannot be used or are not those of the dictionary's window, or the phases
        have columns of their own: they are refined on shared ones.
    """
    start = factorization_record(factorization)
    if start.phase_columns is not None:
        raise InputError(
            "the phases have columns of their own, which cannot be refined on shared ones: "
            "factorize without `calibration` first"
        )
    if start.attrs.get("priors"):
        raise InputError(
            "the phases were found with priors, which the refinement does not know: factorize "
            "without `priors` first"
        )
    dictionary = start.dictionary
    source = replace(tile_source(data, dictionary, **options), mask=start.mask).kept_in_memory()
    scale = dictionary.columns.sum(axis=1)
    columns = dictionary.columns / scale[:, None]
    weight = start.coefficient * scale
    weight /= weight.sum(axis=1, keepdims=True)
    found = refine_weights(
        lambda trial: refinement_pass(source, columns, trial),
        weight,
        columns,
        max_rounds=max_rounds,
    )
    solution = CompositionSolution(
        coefficient=found.weight / scale,
        coefficient_covariance=start.coefficient_covariance,
        loss=np.array(found.loss),
        spread_deg=np.array(start.attrs["spread_deg"]),
        n_carried=start.attrs["n_carried"],
        n_rounds=found.n_rounds,
        converged=found.converged,
        reason=found.reason,
    )
    tiles = abundances_pass(source, solution.coefficient @ dictionary.columns, source.tiles)
    result = merge(
        tiles,
        solution,
        dictionary,
        y_nm=start.y_nm,
        x_nm=start.x_nm,
        attrs=start.attrs,
        mask=source.mask,
    )
    return result.to_dataset()


def other_answer(factorization: xr.Dataset | Factorization) -> xr.Dataset:
    """The other answer, where the counts leave two open, as a factorisation of its own.

    Parameters
    ----------
    factorization : Dataset or Factorization
        From `mlatem.factorize`, of the class OPEN.

    Returns
    -------
    factorization : Dataset
        As from `factorize`, for `mlatem.quantify` and all else; phases in the same order, without
        standard deviations.

    Raises
    ------
    InputError
        If there is one answer only.
    """
    return other_answer_of(factorization_record(factorization)).to_dataset()


def with_geometry_of(priors: Priors | None, settings: _settings.Factorize) -> _settings.Factorize:
    """Settings with the reading of the map that priors tell.

    Raises
    ------
    ConfigError
        If the settings say another one.
    """
    told = agreed_geometry(priors, settings.geometry, "factorize.geometry")
    return settings.model_copy(update={"geometry": told})


def solve_phases(
    regions: Sequence[RegionStatistics],
    dictionary: Dictionary,
    settings: _settings.Factorize,
    *,
    n_coherent: int = 0,
    own_columns: OwnColumns | None = None,
    named: NamedPhases | None = None,
    threads: int = 1,
) -> CompositionSolution:
    """Compositions from pooled spectra, with the number of phases as the settings say.

    Where it is found automatically, there are at least as many as have names. Thinnings are solved
    `threads` at a time. `n_coherent`, what `place_regions` found, goes into the record.

    Raises
    ------
    InputError, ConvergenceError
        As `factorize`.
    """
    if isinstance(settings.n_phases, int):
        n_phases = settings.n_phases
    else:
        n_named = 1 if named is None else named.n_named
        n_phases = max(estimate_n_phases(regions, dictionary), n_named)
    if named is not None:
        _check_places(named, n_phases)
    return solve_compositions(
        regions,
        dictionary,
        n_phases,
        n_coherent=n_coherent,
        options=settings,
        own_columns=own_columns,
        named=named,
        each=partial(map_tiles, threads=threads),
    )


def patterns_of_phases(
    patterns: PhasePatterns | None, solution: CompositionSolution
) -> PhasePatterns | None:
    """Where the phases of a solution may be, in its order."""
    if patterns is None or solution.places is None:
        return None
    return patterns.with_allowed(solution.places)


def _check_places(named: NamedPhases, n_phases: int) -> None:
    if named.places is None or n_phases > named.n_named:
        return
    lost = ~named.places[:, :-1].any(axis=1)
    if lost.any():
        raise InputError(
            f"the regions of {', '.join(named.names)} leave a part of the map to no phase, and "
            f"n_phases is {n_phases}: raise it, or widen a region"
        )


def solve_attrs(
    solution: CompositionSolution,
    settings: _settings.Factorize,
    priors: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """What goes with a factorisation: settings, priors, decisions and verdicts, JSON-safe.

    Priors are what is said of each named phase, in words.
    """
    return {
        "settings": settings.model_dump(mode="json"),
        "priors": {name: list(words) for name, words in (priors or {}).items()},
        "decisions": [d.to_dict() for d in verdicts.decisions(solution, settings, priors)],
        "verdicts": [v.to_dict() for v in verdicts.verdicts(solution)],
    }


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
