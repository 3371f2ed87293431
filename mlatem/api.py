# SPDX-License-Identifier: GPL-3.0-or-later
"""The functions of `import mlatem`: arrays and datasets in, datasets out, no file written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from mlatem import settings as _settings
from mlatem.calibration import calibrate_image, detectors_from_array
from mlatem.denoising.rank import low_rank, rank_decision
from mlatem.denoising.scores import reconstruct as reconstruct_counts
from mlatem.element_check import identify_image
from mlatem.errors import InputError
from mlatem.factorization import verdicts
from mlatem.factorization.merge import merge
from mlatem.factorization.refinement import refine as refine_weights
from mlatem.factorization.regions import PoolingPlan, plan_pooling
from mlatem.factorization.solver import (
    CompositionSolution,
    OwnColumns,
    estimate_n_phases,
    solve_compositions,
)
from mlatem.io.labels import image_from_frame
from mlatem.model import (
    Basis,
    Calibration,
    Dictionary,
    Factorization,
    FactorTable,
    Identification,
    PhaseTable,
    RegionStatistics,
    SpectrumImage,
)
from mlatem.passes import (
    TileSource,
    abundances_pass,
    centroids_pass,
    refinement_pass,
    regions_pass,
    scores_pass,
    statistics_pass,
)
from mlatem.physics.dictionary import dictionary_from_calibration
from mlatem.physics.family_factors import calibrated_family_factors
from mlatem.physics.own_columns import own_columns
from mlatem.physics.standardless import usual_lines
from mlatem.preprocessing.detectors import DetectorSpectra
from mlatem.quantification.absorption import absorption_sigma, transmission
from mlatem.quantification.edxs import quantify as quantify_phases
from mlatem.quantification.factor_effects import factor_effects
from mlatem.quantification.maps import pixel_maps
from mlatem.quantification.mass_thickness import mass_thickness_map
from mlatem.quantification.methods import Method, method_of

_logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

#: A calibrated axis lies no further than this from the file's: channels, and share of the energy.
_CALIBRATION_CHANNELS = 20.0
_CALIBRATION_SHARE = 0.01
#: What the functions take as spectrum image: a Dataset with `counts`, a tree with the group `edxs`,
#: or the record. `factorize` and `denoise` also take an array (ny, nx, n_energy).
SpectrumImageLike = SpectrumImage | xr.Dataset | xr.DataTree


def spectrum_image(data: SpectrumImageLike) -> SpectrumImage:
    """The record of a labelled spectrum image.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
        A dataset as in the group `edxs` of what `mlatem.read` and `mlatem.open` return, or the
        whole tree. One of your own needs `counts` and the coordinates y and x in nm and energy in
        keV; its attributes may be missing. A single spectrum, `counts` (energy), becomes a map
        of one pixel.

    Raises
    ------
    InputError
        If there is no such group, or the dataset has no `counts` or not all coordinates.
    """
    if isinstance(data, SpectrumImage):
        return data
    if isinstance(data, xr.DataTree):
        data = data.children.get("edxs", data).to_dataset()
    if "counts" not in data:
        raise InputError(
            f"no variable 'counts' among {list(data)}: give the group of a spectrum image, for "
            'example tree["edxs"]'
        )
    technique = data.attrs.get("technique", "eels" if "energy_loss" in data.coords else "edxs")
    dims = ("y", "x", "energy" if technique == "edxs" else "energy_loss")
    if data["counts"].dims == dims[2:]:
        alone = data.drop_vars(["y", "x"], errors="ignore")
        data = alone.assign(counts=alone["counts"].expand_dims(y=[0.0], x=[0.0]))
    missing = [dim for dim in dims if dim not in data.coords]
    if missing or set(data["counts"].dims) != set(dims):
        raise InputError(
            f"counts have dimensions {data['counts'].dims} and the dataset the coordinates "
            f"{list(data.coords)}: expected {dims} as both, y and x in nm, energies in keV for "
            "EDXS, in eV for EELS"
        )
    frame = data.drop_vars("counts").assign_attrs(
        {"acquisition": {}, "name": "", "details": {}, **data.attrs, "technique": technique}
    )
    return image_from_frame(frame, data["counts"].transpose(*dims).data)


def calibrate(  # noqa: PLR0913 - one keyword per thing that may be known
    data: SpectrumImageLike,
    elements: Sequence[str] = (),
    *,
    system_elements: Sequence[str] | None = None,
    thickness_nm: float | None = None,
    density_g_cm3: float | None = None,
    beam_energy_kev: float | None = None,
    take_off_angle_deg: float | None = None,
    detector_spectra: xr.DataArray | DetectorSpectra | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Calibrate | None = None,
    factor_table: FactorTable | None = None,
    identify: _settings.Identify | None = None,
    **options: Any,
) -> Calibration:
    """Energy axis, resolution, mean composition and absorption from the sum spectrum.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
        A map, or a single spectrum: a dataset with `counts` (energy).
    elements : sequence of str
        Elements of the specimen; those that `mlatem.identify` finds if not given.
    system_elements : sequence of str, optional
        Elements of grid, holder and collimator; those of `edxs` if not given.
    thickness_nm, density_g_cm3 : float, optional
        Of the specimen. Without a thickness absorption is left out; without a density it is
        estimated from the composition.
    beam_energy_kev, take_off_angle_deg : float, optional
        Take precedence over the file's.
    detector_spectra : DataArray of shape (detector, energy), optional
        Sum spectra of the detectors, on the axis of the file; the variable of that name in the
        data if not given. Each detector then has an axis and a resolution of its own.
    edxs, settings, identify : settings records, optional
    factor_table : FactorTable, optional
        From `mlatem.read_factors`: factors in place of the computed intensities of lines.
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the sum spectrum cannot be used.
    """
    if detector_spectra is None and isinstance(data, xr.DataTree):
        detector_spectra = data.children.get("edxs", data).to_dataset().get("detector_spectra")
    elif detector_spectra is None and isinstance(data, xr.Dataset):
        detector_spectra = data.get("detector_spectra")
    if isinstance(detector_spectra, xr.DataArray):
        detector_spectra = detectors_from_array(detector_spectra)
    return calibrate_image(
        spectrum_image(data),
        elements=elements,
        system_elements=system_elements,
        acquisition={
            "thickness_nm": thickness_nm,
            "density_g_cm3": density_g_cm3,
            "beam_energy_kev": beam_energy_kev,
            "take_off_angle_deg": take_off_angle_deg,
        },
        edxs=edxs or _settings.Edxs(),
        settings=settings or _settings.Calibrate(),
        factor_table=factor_table,
        detector_spectra=detector_spectra,
        identify=identify,
        **options,
    )


def identify(
    data: SpectrumImageLike,
    elements: Sequence[str] = (),
    *,
    system_elements: Sequence[str] | None = None,
    beam_energy_kev: float | None = None,
    take_off_angle_deg: float | None = None,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Identify | None = None,
    **options: Any,
) -> Identification:
    """The elements that a spectrum image shows, those of small parts of it too.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
    elements : sequence of str, optional
        A list to check: these are in the model from the start.
    system_elements : sequence of str, optional
        Elements of grid, holder and collimator; those of `edxs` if not given.
    beam_energy_kev, take_off_angle_deg : float, optional
        Take precedence over the file's.
    edxs, settings : settings records, optional
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    Identification
        `elements` are those that are used; `to_frame()` gives a table of all, with candidates.

    Raises
    ------
    InputError
        If the beam energy is not known, an element is unknown, or the counts are too few.
    """
    return identify_image(
        spectrum_image(data),
        elements=elements,
        system_elements=system_elements,
        acquisition={
            "beam_energy_kev": beam_energy_kev,
            "take_off_angle_deg": take_off_angle_deg,
        },
        edxs=edxs or _settings.Edxs(),
        settings=settings or _settings.Identify(),
        **options,
    )


def edxs_dictionary(
    data: SpectrumImageLike, calibration: Calibration, *, edxs: _settings.Edxs | None = None
) -> Dictionary:
    """The dictionary of physical columns for a calibrated spectrum image.

    Parameters
    ----------
    data : SpectrumImage, Dataset or DataTree
    calibration : Calibration
        From `mlatem.calibrate`.
    edxs : settings.Edxs, optional

    Returns
    -------
    Dictionary
    """
    energy = spectrum_image(data).energy
    return dictionary_from_calibration(energy, calibration, edxs or _settings.Edxs())


def _source(data: SpectrumImageLike | Any, dictionary: Dictionary, **options: Any) -> TileSource:
    """The counts of anything that holds them, and the part that the dictionary describes."""
    if not isinstance(data, SpectrumImage | xr.Dataset | xr.DataTree):
        counts = data if hasattr(data, "ndim") else np.asarray(data)
        return TileSource.for_dictionary(counts, dictionary, **options)
    image = spectrum_image(data)
    label = image.name or "counts"
    source = TileSource.for_dictionary(image.counts, dictionary, label=label, **options)
    _check_energy(image.energy[source.channels], dictionary.energy, label)
    return source


def _check_energy(
    energy: NDArray[np.float64], of_dictionary: NDArray[np.float64], label: str
) -> None:
    """Refuse a dictionary that was made for another axis than a calibration could move."""
    off = np.abs(energy - of_dictionary)
    channel = int(np.argmax(off - _CALIBRATION_SHARE * np.abs(energy)))
    width = float(np.abs(np.diff(energy)).max(initial=0.0))
    if off[channel] > _CALIBRATION_CHANNELS * width + _CALIBRATION_SHARE * abs(energy[channel]):
        raise InputError(
            f"{label}: channel {channel} lies at {energy[channel]:g} and the dictionary's at "
            f"{of_dictionary[channel]:g}: build the dictionary on the energies of the counts"
        )


def denoise(
    data: SpectrumImageLike | Any,
    dictionary: Dictionary,
    *,
    settings: _settings.Denoise | None = None,
    **options: Any,
) -> xr.Dataset:
    """Low-rank basis of a spectrum image and the scores of its pixels, in two passes.

    Parameters
    ----------
    data : SpectrumImage, Dataset, DataTree or array of shape (ny, nx, n_energy)
    dictionary : Dictionary
    settings : settings.Denoise, optional
    **options
        `tile_shape`, `threads` and `progress` of `mlatem.passes.TileSource`.

    Returns
    -------
    lowrank : Dataset
        The basis (see `mlatem.model.Basis`) and `scores` (y, x, axis), in units of the noise's
        standard deviation. The product is kept factored: `mlatem.reconstruct` gives spectra.
    """
    settings = settings or _settings.Denoise()
    source = _source(data, dictionary, **options)
    statistics = statistics_pass(source)
    basis = low_rank(statistics, dictionary, settings)
    result = basis.to_dataset()
    result.attrs["total_counts"] = float(statistics.total.sum())
    result.attrs["first_channel"] = source.channels.start
    result["scores"] = (("y", "x", "axis"), scores_pass(source, basis))
    result.attrs["decision"] = rank_decision(basis, settings).to_dict()
    _logger.info("denoised %s: rank %d", source.shape, basis.rank)
    return result


def factorize(
    data: SpectrumImageLike | Any,
    dictionary: Dictionary,
    n_phases: int | str | None = None,
    *,
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
    calibration : Calibration, optional
        From `mlatem.calibrate`. With it, and where the thickness is known, the X-rays of every
        phase are absorbed in its own composition, not in the specimen's mean.
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
        If the counts cannot be used, or carry fewer phases than asked for.
    ConfigError
        If `n_phases` or `seed` is not possible.
    ConvergenceError
        If the compositions could not be found.
    """
    given = {"n_phases": n_phases, "seed": seed}
    values = {**(settings or _settings.Factorize()).model_dump(), **_without_none(given)}
    settings = _settings.parse({"factorize": values}, source="mlatem.factorize").factorize
    source = _source(data, dictionary, **options).kept_in_memory()
    y_nm, x_nm = _positions(data, source.shape)
    statistics = statistics_pass(source)
    basis = low_rank(statistics, dictionary)
    axes = basis.axes * basis.weights
    plan = plan_regions(float(statistics.total.sum()), source.shape, settings)
    del statistics  # the largest of all arrays here
    centroids = centroids_pass(source, axes, plan)
    regions = regions_pass(source, axes, centroids, plan, source.tiles)
    own = None
    if calibration is not None:
        own = own_columns(dictionary, calibration, edxs or _settings.Edxs())
    solution = solve_phases(regions, dictionary, settings, own_columns=own)
    spectrum = solution.spectrum(dictionary)
    tiles = abundances_pass(source, spectrum, source.tiles)
    attrs = solve_attrs(solution, settings)
    result = merge(tiles, solution, dictionary, y_nm=y_nm, x_nm=x_nm, attrs=attrs)
    return result.to_dataset()


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
        The counts that were factorised.
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
        absorb their own X-rays: they are refined on shared columns.
    """
    start = _record(factorization)
    if start.phase_columns is not None:
        raise InputError(
            "the phases have columns of their own, absorbed in each, which cannot be refined: "
            "factorize without `calibration` first"
        )
    dictionary = start.dictionary
    source = _source(data, dictionary, **options).kept_in_memory()
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
    result = merge(tiles, solution, dictionary, y_nm=start.y_nm, x_nm=start.x_nm, attrs=start.attrs)
    return result.to_dataset()


def plan_regions(
    total_counts: float, shape: tuple[int, int], settings: _settings.Factorize
) -> PoolingPlan:
    """How the pixels of a map of `shape` (ny, nx) are pooled, from its counts in the window."""
    n_phases = settings.n_phases if isinstance(settings.n_phases, int) else None
    return plan_pooling(total_counts, shape[0] * shape[1], n_phases=n_phases, options=settings)


def solve_phases(
    regions: Sequence[RegionStatistics],
    dictionary: Dictionary,
    settings: _settings.Factorize,
    *,
    own_columns: OwnColumns | None = None,
) -> CompositionSolution:
    """Compositions from pooled spectra, with the number of phases as the settings say.

    Raises
    ------
    InputError, ConvergenceError
        As `factorize`.
    """
    n_phases = settings.n_phases
    if not isinstance(n_phases, int):
        n_phases = estimate_n_phases(regions, dictionary)
    return solve_compositions(
        regions, dictionary, n_phases, options=settings, own_columns=own_columns
    )


def solve_attrs(solution: CompositionSolution, settings: _settings.Factorize) -> dict[str, Any]:
    """What goes with a factorisation: settings, decisions and verdicts, JSON-safe."""
    return {
        "settings": settings.model_dump(mode="json"),
        "decisions": [d.to_dict() for d in verdicts.decisions(solution, settings)],
        "verdicts": [v.to_dict() for v in verdicts.verdicts(solution)],
    }


def quantify(
    factorization: xr.Dataset | Factorization,
    *,
    calibration: Calibration | None = None,
    dataset: str = "",
    edxs: _settings.Edxs | None = None,
    settings: _settings.Quantify | None = None,
) -> PhaseTable:
    """Atomic and weight percent of every phase.

    Parameters
    ----------
    factorization : Dataset or Factorization
        From `mlatem.factorize`.
    calibration : Calibration, optional
        From `mlatem.calibrate`. With it, `sigma_sys` holds the uncertainty of the absorption, and
        errors of line intensities are weighed as the lines weigh in the fit; where the dose and
        the solid angle are known, mass thicknesses are told.
    dataset : str, optional
        Name written into the table.
    edxs, settings : settings records, optional

    Returns
    -------
    PhaseTable
    """
    result = _record(factorization)
    settings = settings or _settings.Quantify()
    if calibration is None:
        method = method_of(settings, None, solid_angle_sr=None)
        return quantify_phases(result, dataset=dataset, settings=settings, method=method)
    edxs = edxs or _settings.Edxs()
    return quantify_phases(
        result,
        dataset=dataset,
        settings=settings,
        absorption_sigma=absorption_sigma(result, calibration, edxs),
        effects=factor_effects(result, calibration, edxs),
        method=_method(calibration, edxs, settings),
        transmission=transmission(result, calibration, edxs),
    )


def _method(calibration: Calibration, edxs: _settings.Edxs, settings: _settings.Quantify) -> Method:
    """The method with the solid angle that the factors imply, or else that of the acquisition."""
    elements = calibration.elements
    families = [
        f"{e} {f}" for e in elements for f in usual_lines(e, calibration.beam_energy_kev.value)
    ]
    implied = calibrated_family_factors(families, calibration, edxs.detector).solid_angle_sr
    angle = implied or calibration.solid_angle_sr
    if angle is None:
        return method_of(settings, calibration, solid_angle_sr=None)
    return method_of(
        settings,
        calibration,
        solid_angle_sr=angle.value,
        solid_angle_sigma=(angle.sigma or 0.0) / angle.value,
    )


def quantify_pixels(
    factorization: xr.Dataset | Factorization,
    *,
    settings: _settings.Quantify | None = None,
) -> xr.Dataset:
    """Maps of atomic percent with their standard deviations, and the phase map.

    Parameters
    ----------
    factorization, settings
        As for `quantify`.

    Returns
    -------
    maps : Dataset
        `atomic_percent` and `sigma` (y, x, element), `phase` (y, x); see `mlatem.model.PixelMaps`.
    """
    return pixel_maps(_record(factorization), settings=settings).to_dataset()


def mass_thickness(
    factorization: xr.Dataset | Factorization,
    calibration: Calibration,
    *,
    edxs: _settings.Edxs | None = None,
    settings: _settings.Quantify | None = None,
) -> xr.Dataset:
    """Mass thickness of every pixel along the beam, from its counts.

    Parameters
    ----------
    factorization : Dataset or Factorization
        From `mlatem.factorize`.
    calibration : Calibration
        From `mlatem.calibrate`; where it knows dose and solid angle, the map is absolute.
    edxs, settings : settings records, optional

    Returns
    -------
    maps : Dataset
        `mass_thickness_kg_m2` and its sigma (y, x), or `relative_mass_thickness` where neither dose
        nor thickness is known; see `mlatem.quantification.mass_thickness`.
    """
    method = _method(calibration, edxs or _settings.Edxs(), settings or _settings.Quantify())
    return mass_thickness_map(
        _record(factorization), calibration, counts_per_atom_barn=method.counts_per_atom_barn
    )


def reconstruct(lowrank: xr.Dataset) -> xr.DataArray:
    """Denoised spectra of pixels from the factored product of `denoise`.

    Parameters
    ----------
    lowrank : Dataset
        Of any pixels: select what is needed first, for example `lowrank.isel(y=3, x=5)`.

    Returns
    -------
    counts : DataArray of shape (..., energy), float32
    """
    scores = lowrank["scores"]
    counts = reconstruct_counts(scores.values, Basis.from_dataset(lowrank))
    dims = (*(dim for dim in scores.dims if dim != "axis"), "energy")
    return xr.DataArray(counts, dims=dims, coords={"energy": lowrank["energy"]}, name="counts")


def _record(factorization: xr.Dataset | Factorization) -> Factorization:
    if isinstance(factorization, Factorization):
        return factorization
    return Factorization.from_dataset(factorization)


def _positions(
    data: SpectrumImageLike | Any, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions of rows and columns in nm; their numbers for an array, which has none."""
    if isinstance(data, SpectrumImage | xr.Dataset | xr.DataTree):
        image = spectrum_image(data)
        return image.y_nm, image.x_nm
    return np.arange(shape[0], dtype=float), np.arange(shape[1], dtype=float)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
