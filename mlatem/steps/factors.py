# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of factors: computed, or measured on a standard."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from mlatem import settings as _settings
from mlatem.calibration.standards import calibrate_factors
from mlatem.elements import atomic_number
from mlatem.errors import ConfigError
from mlatem.io.detector_tables import with_detector_file
from mlatem.io.factor_tables import write_factor_table
from mlatem.io.read import open_raw
from mlatem.io.store import is_store
from mlatem.model import FactorTable, SpectrumImage
from mlatem.model.factor_table import FactorKind
from mlatem.physics.family_factors import family_factors, table_of
from mlatem.physics.standardless import standardless_table, usual_lines
from mlatem.steps.inputs import open_source

Path_ = str | PathLike[str]


def computed_factors(
    elements: Sequence[str],
    *,
    kind: FactorKind,
    beam_energy_kev: float,
    reference: str = "Si K",
    solid_angle_sr: float | None = None,
    edxs: _settings.Edxs,
) -> FactorTable:
    """Standardless factors of the usual lines of some elements.

    Parameters
    ----------
    elements : sequence of str
    kind : {"k", "zeta", "cross_section"}
    beam_energy_kev : float
    reference : str
        Element and line of k = 1.
    solid_angle_sr : float, optional
        Needed for zeta and cross-section.
    edxs : settings.Edxs

    Raises
    ------
    ConfigError
        If the reference is not an element and a line.
    InputError
        As `mlatem.physics.standardless.standardless_table`.
    """
    lines = [(e, line) for e in elements for line in usual_lines(e, beam_energy_kev)]
    return standardless_table(
        lines,
        kind=kind,
        beam_energy_kev=beam_energy_kev,
        detector=with_detector_file(edxs).detector,
        solid_angle_sr=solid_angle_sr,
        reference=_reference(reference),
    )


def measured_factors(
    source: Path_,
    *,
    composition: str,
    kind: FactorKind,
    reference: str | None = None,
    mass_thickness_kg_m2: float | None = None,
    electrons: float | None = None,
    acquisition: dict[str, float | None],
    also: Sequence[str] = (),
    edxs: _settings.Edxs,
    settings: _settings.Calibrate,
) -> FactorTable:
    """Factors of a standard, with those of further elements scaled by it.

    Parameters
    ----------
    source : path-like
        Store or raw file of the standard.
    composition : str
        "Sr=0.2,Ti=0.2,O=0.6", atomic fractions of any scale.
    kind, reference, mass_thickness_kg_m2, electrons
        As for `mlatem.calibration.standards.calibrate_factors`.
    acquisition : dict
        Values that take precedence over the file's.
    also : sequence of str
        Elements whose factors are computed and scaled by those of the standard.
    edxs, settings : settings records

    Raises
    ------
    ConfigError
        If the composition is no list of elements and fractions.
    InputError
        As `mlatem.calibration.standards.calibrate_factors`.
    """
    edxs = with_detector_file(edxs)
    table = calibrate_factors(
        _image(source),
        composition=parse_composition(composition),
        kind=kind,
        reference=reference,
        mass_thickness_kg_m2=mass_thickness_kg_m2,
        electrons=electrons,
        acquisition=acquisition,
        edxs=edxs,
        settings=settings,
    )
    if not also:
        return table
    beam = table.factors[0].beam_energy_kev
    known = [factor.family for factor in table.factors]
    more = [f"{e} {line}" for e in also for line in usual_lines(e, beam)]
    families = [name for name in more if name not in known]
    factors = family_factors(
        [*known, *families], beam_energy_kev=beam, detector=edxs.detector, table=table
    )
    first = table.factors[0]
    against = f"{first.reference_element} {first.reference_line}" if kind == "k" else known[0]
    computed = table_of(
        factors, families, beam_energy_kev=beam, detector=edxs.detector, reference=against
    )
    return FactorTable((*table.factors, *computed.factors), table.name)


def save_factors(table: FactorTable, path: Path_) -> None:
    """Write a table of factors as CSV."""
    write_factor_table(table, path)


def parse_composition(text: str) -> dict[str, float]:
    """Atomic fractions from "Sr=0.2,Ti=0.2,O=0.6".

    Raises
    ------
    ConfigError
        Naming the part that cannot be read.
    InputError
        If an element is unknown.
    """
    composition: dict[str, float] = {}
    for part in text.split(","):
        element, separator, number = (p.strip() for p in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not separator or not value > 0:
            raise ConfigError(
                f"composition: {part.strip()!r} is no element with a fraction above 0; expected "
                "for example Sr=0.2,Ti=0.2,O=0.6"
            )
        atomic_number(element)
        if element in composition:
            raise ConfigError(f"composition: {element} is named twice: name each element once")
        composition[element] = value
    return composition


def _reference(text: str) -> tuple[str, str]:
    element, _, line = text.partition(" ")
    if not line:
        raise ConfigError(f"reference {text!r}: expected element and line, for example 'Si K'")
    return element, line


def _image(source: Path_) -> SpectrumImage:
    if is_store(Path(source)):
        return open_source(source)[0]
    images = open_raw([source]).spectrum_images
    found = [image for image in images if image.technique == "edxs"]
    if not found:
        raise ConfigError(f"{source} holds no X-ray map: give that of the standard")
    return found[0]
