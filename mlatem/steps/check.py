# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking before leaping: a campaign before its run, a store before it is relied on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from mlatem import settings as _settings
from mlatem.campaign import folder as _campaign
from mlatem.errors import ConfigError, MlatemError
from mlatem.factorization.prior_places import phase_patterns
from mlatem.io.detector_tables import read_detector_file
from mlatem.io.factor_tables import read_factor_table
from mlatem.io.layout import refuse_above_limit
from mlatem.io.priors import read_priors
from mlatem.io.projection import BYTES_PER_SECOND, project
from mlatem.io.read import open_raw
from mlatem.io.signals import RawSignals
from mlatem.io.store import load_spectrum_image, open_store
from mlatem.io.validate import validate_store
from mlatem.model import Acquisition
from mlatem.model.acquisition import FIELDS
from mlatem.model.prior_conflicts import agreed_geometry, check_statements
from mlatem.model.priors import Priors
from mlatem.preparation import prepare
from mlatem.sheet import DatasetRow
from mlatem.steps.progress import progress

#: Charge that hit the specimen, as far as the X-ray detectors were live.
_OF_DOSE = ("beam_current_na", "live_time_s")


@dataclass(frozen=True)
class Findings:
    """What a check found, in words."""

    problems: tuple[str, ...] = ()
    """What makes a dataset, or the store, fail."""
    notes: tuple[str, ...] = ()
    """What is worth knowing: values that are missing, and what the conversion will need."""


def check_store(path: str | PathLike[str], *, deep: bool = False) -> Findings:
    """What is wrong with a store, and what a quantification of it would lack.

    With `deep`, all its counts are read too.
    """
    with progress("check") as advance:
        problems = tuple(validate_store(path, deep=deep, progress=advance))
    if problems:
        return Findings(problems)
    groups = [name for name in open_store(path).children if name.startswith(("edxs", "eels"))]
    acquisition = load_spectrum_image(path).acquisition if "edxs" in groups else None
    notes = (*_missing(acquisition, groups), *_assumed(acquisition, _settings.Edxs()))
    return Findings((), notes)


def check_campaign(folder: str | PathLike[str]) -> Findings:
    """Everything that would make a dataset of a campaign fail, as far as it shows beforehand.

    Every raw file is opened, none is converted.

    Returns
    -------
    Findings
        Each problem and note begins with the name of its dataset, except for problems of the
        configuration or the sample sheet as a whole. There are no problems where all is in order.
    """
    try:
        campaign = _campaign.load_folder(folder)
    except ConfigError as error:
        return Findings((str(error),))
    problems: list[str] = []
    notes: list[str] = []
    detector_file = campaign.settings.edxs.detector.efficiency_file
    if detector_file is not None:
        try:
            read_detector_file(Path(folder) / detector_file)
        except MlatemError as error:
            problems.append(str(error))
    for name, cells in campaign.rows.items():
        try:
            row = DatasetRow.from_strings(cells)
            if not row.elements:
                notes.append(f"{name}: the column elements is empty: they will be identified")
            factors = campaign.factor_path(name)
            if factors is not None:
                read_factor_table(factors).check_elements(row.elements)
            signals = _opened(campaign.raw_paths(name), row, campaign.settings.convert)
            preprocess = _settings.with_crop(campaign.settings.preprocess, row.crop)
            # Drift is found on the counts, which are not read here.
            preprocess = preprocess.model_copy(update={"drift": "off"})
            signals = prepare(signals, preprocess, campaign.mask_path(name)).signals
            acquisition = _of_x_rays(signals)
            lacking = _missing(acquisition, signals.group_names)
            problems += [f"{name}: {problem}" for problem in lacking]
            notes += [f"{name}: {note}" for note in _assumed(acquisition, campaign.settings.edxs)]
            path = campaign.priors_path(name)
            if path is not None:
                _check_priors(read_priors(path), row, signals, campaign.settings.factorize)
            notes.append(f"{name}: {_needs(signals)}")
            needed = project(signals).memory_bytes
            refuse_above_limit(
                needed, campaign.settings.convert.memory_limit_gb, label=signals.path
            )
        except MlatemError as error:
            problems.append(f"{name}: {error}")
    return Findings(tuple(problems), tuple(notes))


def _check_priors(
    priors: Priors, row: DatasetRow, signals: RawSignals, settings: _settings.Factorize
) -> None:
    """Priors against the elements, the number of phases and the map of their dataset.

    Raises
    ------
    ConfigError, InputError
    """
    agreed_geometry(priors, row.geometry or "auto", "the column geometry")
    n_phases = row.n_phases or settings.n_phases
    if isinstance(n_phases, int) and len(priors.phases) > n_phases:
        raise ConfigError(
            f"priors name {len(priors.phases)} phases ({', '.join(priors.phases)}), but n_phases "
            f"is {n_phases}: raise n_phases, or leave phases out of the priors"
        )
    for name, phase in priors.phases.items():
        unknown = [element for element in phase.elements if element not in row.elements]
        if row.elements and unknown:
            raise ConfigError(
                f"phase {name!r}: priors name {', '.join(unknown)}, but the column elements holds "
                f"{', '.join(row.elements)}: add the element there, or leave it out of the priors"
            )
        check_statements(name, phase, row.elements or None)
    if signals.xray_map is not None:
        phase_patterns(priors, signals.xray_map.shape[:2])


def _opened(paths: Sequence[str], row: DatasetRow, settings: _settings.Convert) -> RawSignals:
    """The raw files with the values of the sheet, not read where the format allows it."""
    return open_raw(
        paths,
        acquisition_overrides={**row.acquisition, **row.axes},
        settings=_settings.with_frames(settings, row.frames).model_copy(
            update={"hash_inputs": False}
        ),
    )


def _of_x_rays(signals: RawSignals) -> Acquisition | None:
    """Acquisition of the X-ray map, None where there is none."""
    image = signals.xray_map
    return None if image is None else image.acquisition


def _missing(acquisition: Acquisition | None, groups: Sequence[str]) -> Iterator[str]:
    """What nothing can be quantified without."""
    if acquisition is None:
        yield (
            f"has no X-ray map, only {', '.join(groups)}, which is converted but not "
            "analysed: add the file of an EDS map to its path"
        )
    elif "beam_energy_kev" not in acquisition:
        yield (
            "the beam energy is missing in the file: give it in the column beam_energy_kev of the "
            "sample sheet"
        )


def _assumed(acquisition: Acquisition | None, edxs: _settings.Edxs) -> Iterator[str]:
    """Values whose absence makes a result poorer, and what stands in for them."""
    if acquisition is None:
        return
    if "thickness_nm" not in acquisition:
        yield (
            "the specimen's thickness is not known: absorption of X-rays is not corrected; column "
            "thickness_nm"
        )
    elif "density_g_cm3" not in acquisition:
        yield (
            "the specimen's density is not known: it is estimated from the composition; column "
            "density_g_cm3"
        )
    unknown = [name for name in _OF_DOSE if name not in acquisition]
    if unknown:
        words = ", ".join(FIELDS[name][0] for name in unknown)
        columns = ", ".join(unknown)
        yield f"the dose is not known ({words}): amounts are relative; columns {columns}"
    for name in ("take_off_angle_deg", "elevation_deg"):
        angle = acquisition.number(name)
        if angle is not None and angle > 0:
            if acquisition[name].origin == "default":
                yield (
                    f"the take-off angle of {angle:g} degrees is an assumption of the program that "
                    "wrote the file; column take_off_angle_deg"
                )
            return
    yield (
        f"the take-off angle is not in the file: {edxs.detector.take_off_angle_deg:g} degrees of "
        "the configuration are assumed; column take_off_angle_deg"
    )


def _needs(signals: RawSignals) -> str:
    shapes = ", ".join(" x ".join(map(str, s.shape)) for s in signals.spectrum_images)
    needs = project(signals)
    seconds = max(round(needs.seconds), 1)
    time = f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
    return (
        f"{shapes}: conversion will need {needs.memory_bytes / 1e9:.2g} GB of memory beside the "
        f"program's own, and roughly {time} after the file is opened (an estimate: "
        f"{needs.count_bytes / 1e9:.2g} GB of counts at {BYTES_PER_SECOND / 1e6:.0f} MB/s)"
    )
