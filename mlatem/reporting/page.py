# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of one dataset."""

from __future__ import annotations

import base64
import logging

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from mlatem.model import Factorization
from mlatem.reporting import maps as _maps
from mlatem.reporting import tables
from mlatem.reporting.ambiguity import alternative_pictures, ambiguity_section
from mlatem.reporting.calibration import calibration_pictures, detector_rows, factor_rows
from mlatem.reporting.caveats import caveats
from mlatem.reporting.colors import phase_color
from mlatem.reporting.denoising import axis_rows, lowrank_pictures
from mlatem.reporting.drawing import Extent
from mlatem.reporting.drift import drift_picture
from mlatem.reporting.inputs import Picture, RenderedReport, ReportInputs
from mlatem.reporting.numbers import length, short, whole
from mlatem.reporting.origins import origin_rows
from mlatem.reporting.rare import candidate_rows, rare_pictures
from mlatem.reporting.spectra import PhaseSpectrum, scree_picture, spectrum_picture

_logger = logging.getLogger(__name__)


def environment() -> Environment:
    """The templates of this package; every value is escaped."""
    templates = Environment(
        loader=PackageLoader("mlatem.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(data_url=data_url, short=short, whole=whole)
    return templates


def data_url(png: bytes) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def render_report(inputs: ReportInputs) -> RenderedReport:
    """One self-contained HTML page for a dataset.

    Parameters
    ----------
    inputs : ReportInputs

    Returns
    -------
    report : RenderedReport
        The page holds its figures and style and needs no network. The figures are returned beside
        it, to be written as files.
    """
    pictures = _pictures(inputs)
    page = environment().get_template("report.html.j2")
    html = page.render(
        inputs=inputs,
        pictures=pictures,
        facts=_facts(inputs),
        verdicts=inputs.all_verdicts,
        decisions=inputs.all_decisions,
        elements=list(dict.fromkeys(inputs.table.frame["element"])),
        phases=tables.phase_rows(inputs.table, inputs.factorization),
        has_intervals="atomic_percent_low" in inputs.table.frame,
        spectra=_spectrum_notes(inputs.factorization),
        opened=ambiguity_section(inputs.factorization),
        acquisition=tables.acquisition_rows(inputs.acquisition),
        calibration=tables.calibration_rows(inputs.calibration),
        detectors=detector_rows(inputs.calibration),
        factors=factor_rows(inputs.calibration, inputs.factorization),
        found=tables.element_rows(inputs.calibration),
        solve=tables.solve_rows(inputs.factorization),
        priors=tables.prior_rows(inputs.factorization),
        provenance=tables.provenance_rows(inputs.provenance),
        caveats=caveats(inputs),
        method=", ".join(dict.fromkeys(inputs.table.frame["method"].astype(str))),
        origins=origin_rows(inputs.table),
        system_elements=inputs.calibration.system_elements,
        rare=None if inputs.rare is None else candidate_rows(inputs.rare),
        axes=None if inputs.lowrank is None else axis_rows(inputs.lowrank),
    )
    _logger.info("report of %s: %d figures, %d bytes", inputs.dataset, len(pictures), len(html))
    figures = {f"{name}.png": picture.png for name, picture in pictures.items()}
    return RenderedReport(html, figures, _maps.thumbnail(inputs.maps))


def _pictures(inputs: ReportInputs) -> dict[str, Picture]:
    """All figures by name."""
    dpi, factorization, maps = inputs.settings.figure_dpi, inputs.factorization, inputs.maps
    pictures = {"phase_map": _maps.phase_map_picture(maps, dpi=dpi)}
    if inputs.survey is not None:
        pictures["survey"] = _maps.survey_picture(inputs.survey, dpi=dpi)
    for phase in range(factorization.n_phases):
        number = phase + 1
        pictures[f"abundance_{number}"] = _maps.abundance_picture(factorization, phase, dpi=dpi)
        if factorization.abundance_smooth is not None:
            pictures[f"abundance_smooth_{number}"] = _maps.abundance_picture(
                factorization, phase, dpi=dpi, smooth=True
            )
        if factorization.dominant_counts[phase].any():
            pictures[f"spectrum_{number}"] = spectrum_picture(factorization, phase, dpi=dpi)
    for index, element in enumerate(maps.elements):
        pictures[f"element_{element}"] = _maps.element_picture(maps, index, dpi=dpi)
        pictures[f"sigma_{element}"] = _maps.element_sigma_picture(maps, index, dpi=dpi)
    pictures.update(_maps.deviance_pictures(factorization, dpi=dpi))
    pictures.update(alternative_pictures(factorization, dpi=dpi))
    if inputs.mass_thickness is not None:
        pictures["mass_thickness"] = _maps.mass_thickness_picture(
            inputs.mass_thickness, factorization, dpi=dpi
        )
    if inputs.rare is not None:
        pictures.update(rare_pictures(inputs.rare, dpi=dpi))
    pictures.update(calibration_pictures(inputs.calibration, inputs.sum_fit, dpi=dpi))
    if inputs.drift is not None:
        pictures["drift"] = drift_picture(inputs.drift, dpi=dpi)
    if inputs.lowrank is not None:
        pictures.update(
            lowrank_pictures(inputs.lowrank, factorization.y_nm, factorization.x_nm, dpi=dpi)
        )
    if inputs.basis is not None:
        pictures["scree"] = scree_picture(inputs.basis, dpi=dpi)
    return pictures


def _facts(inputs: ReportInputs) -> tuple[str, ...]:
    """The line under the heading."""
    factorization = inputs.factorization
    ny, nx = factorization.abundance.shape[:2]
    extent = Extent.of_axes(factorization.y_nm, factorization.x_nm)
    times = "\N{MULTIPLICATION SIGN}"
    n_phases = factorization.n_phases
    facts = [
        f"{nx} {times} {ny} pixels",
        f"{length(extent.width_nm)} {times} {length(extent.height_nm)}",
        f"{n_phases} phase{'s' if n_phases > 1 else ''}",
    ]
    if np.isfinite(inputs.total_counts):
        facts.append(f"{whole(inputs.total_counts)} counts")
        facts.append(f"{short(inputs.total_counts / (nx * ny), 3)} counts per pixel, all energies")
    return tuple(facts)


def _spectrum_notes(factorization: Factorization) -> list[dict[str, str]]:
    """Caption of each phase's spectrum."""
    notes = []
    for phase in range(factorization.n_phases):
        spectrum = PhaseSpectrum.of_phase(factorization, phase)
        notes.append(
            {
                "color": phase_color(phase),
                "counts": whole(float(spectrum.counts.sum())),
                "deviance": short(spectrum.deviance_per_channel, 3),
            }
        )
    return notes
