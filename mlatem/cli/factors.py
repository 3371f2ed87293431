# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on factors of lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlatem.cli.app import Elements, command


@command
def factors(
    elements: Elements,
    beam_energy_kev: Annotated[float, typer.Option("--beam-energy", help="Beam energy, keV.")],
    table: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (CSV); else printed.")
    ] = None,
    kind: Annotated[str, typer.Option(help="k, zeta or cross_section.")] = "k",
    reference: Annotated[str, typer.Option(help="Element and line of k = 1.")] = "Si K",
    solid_angle_sr: Annotated[
        float | None, typer.Option(help="Solid angle of the detector, sr; for zeta and barn.")
    ] = None,
) -> None:
    """Compute factors without a standard, with their uncertainties."""
    from mlatem import settings
    from mlatem.steps import factors as step

    made = step.computed_factors(
        [part.strip() for part in elements.split(",") if part.strip()],
        kind=_kind(kind),
        beam_energy_kev=beam_energy_kev,
        reference=reference,
        solid_angle_sr=solid_angle_sr,
        edxs=settings.Edxs(),
    )
    _tell_factors(made, table)


@command
def calibrate_factors(
    standard: Annotated[Path, typer.Argument(help="Store or raw file of the standard.")],
    composition: Annotated[
        str, typer.Option(help="Atomic fractions, for example Sr=0.2,Ti=0.2,O=0.6.")
    ],
    table: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (CSV); else printed.")
    ] = None,
    kind: Annotated[str, typer.Option(help="k, zeta or cross_section.")] = "k",
    reference: Annotated[
        str | None, typer.Option(help="Element and family of k = 1, for example 'Ti K'.")
    ] = None,
    also: Annotated[
        str, typer.Option(help="Further elements, computed and scaled by the standard.")
    ] = "",
    thickness_nm: Annotated[float | None, typer.Option(help="Thickness, nm.")] = None,
    density_g_cm3: Annotated[float | None, typer.Option(help="Density, g/cm3.")] = None,
    mass_thickness_kg_m2: Annotated[
        float | None, typer.Option("--mass-thickness", help="Mass thickness, kg/m2.")
    ] = None,
    dose: Annotated[float | None, typer.Option(help="Electrons on the whole map.")] = None,
    beam_current_na: Annotated[float | None, typer.Option(help="Beam current, nA.")] = None,
    live_time_s: Annotated[float | None, typer.Option(help="Live time of the map, s.")] = None,
    beam_energy_kev: Annotated[
        float | None, typer.Option("--beam-energy", help="Beam energy, keV.")
    ] = None,
) -> None:
    """Measure factors on a standard of known composition."""
    from mlatem import settings
    from mlatem.steps import factors as step

    made = step.measured_factors(
        standard,
        composition=composition,
        kind=_kind(kind),
        reference=reference,
        mass_thickness_kg_m2=mass_thickness_kg_m2,
        electrons=dose,
        acquisition={
            "thickness_nm": thickness_nm,
            "density_g_cm3": density_g_cm3,
            "beam_current_na": beam_current_na,
            "live_time_s": live_time_s,
            "beam_energy_kev": beam_energy_kev,
        },
        also=[part.strip() for part in also.split(",") if part.strip()],
        edxs=settings.Edxs(),
        settings=settings.Calibrate(),
    )
    _tell_factors(made, table)


def _kind(text: str) -> Any:
    from mlatem.errors import ConfigError
    from mlatem.model.factor_table import UNITS

    if text not in UNITS:
        raise ConfigError(f"kind {text!r}: expected one of {', '.join(UNITS)}")
    return text


def _tell_factors(table: Any, path: Path | None) -> None:
    """Print factors for people, and write them where a file is named."""
    from mlatem.steps import factors as step

    for factor in table.factors:
        sigma = "" if factor.sigma is None else f" ± {factor.sigma:.2g}"
        against = f" against {factor.reference_element} {factor.reference_line}"
        unit = against if factor.kind == "k" else f" {factor.unit}"
        name = f"{factor.element} {factor.line}"
        typer.echo(f"{name:<6} {factor.kind} {factor.value:.5g}{sigma}{unit}  [{factor.source}]")
    if path is not None:
        step.save_factors(table, path)
        typer.echo(f"wrote {path}")
