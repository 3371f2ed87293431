# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: parse, call `mlatem.steps`, say what was done."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer

from mlatem.errors import MlatemError

app = typer.Typer(
    name="mlatem",
    help="Spectrum images to quantified phases.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

F = TypeVar("F", bound=Callable[..., None])

Store = Annotated[Path, typer.Argument(help="Converted store (spim.zarr).")]
Elements = Annotated[
    str,
    typer.Option(
        "--elements", "-e", help="Elements of the specimen, for example O,Si,Fe; else identified."
    ),
]
Threads = Annotated[int, typer.Option("--threads", "-j", min=1, help="Tiles worked on at a time.")]


def _command(function: F) -> F:
    """Register a command whose known errors end in one line on stderr and status 1."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except MlatemError as error:
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(1) from None

    app.command()(guarded)
    return cast(F, guarded)


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
) -> None:
    """Spectrum images to quantified phases."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")


@_command
def info(
    path: Annotated[Path, typer.Argument(help="Raw file or converted store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show what a raw file or a store holds, every value with its origin."""
    from mlatem.io.info import describe

    description = describe(path)
    if as_json:
        typer.echo(json.dumps(description, indent=2))
        return
    from rich.console import Console
    from rich.tree import Tree

    tree = Tree(f"[bold]{path.name}[/bold]")
    _grow(tree, description)
    Console().print(tree)


def _grow(tree: Any, values: Any) -> None:
    """Add nested values to a tree: records as branches, acquisition values in words."""
    from mlatem.model.acquisition import FIELDS

    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if isinstance(value, dict) and set(value) == {"value", "origin"}:
            label, unit = FIELDS[str(key)]
            amount = f"{_short(value['value'])} {unit}".strip()
            tree.add(f"{label}: {amount} [dim]({value['origin']})[/dim]")
        elif key == "warnings":
            for sentence in value:
                tree.add(f"[bold]warning[/bold]: {sentence}")
        elif value in ([], {}):
            continue
        elif key == "versions":
            tree.add(f"{key}: {', '.join(f'{name} {number}' for name, number in value.items())}")
        elif isinstance(value, list) and not any(isinstance(v, dict | list) for v in value):
            tree.add(f"{key}: {', '.join(_short(v) for v in value)}")
        elif isinstance(value, dict | list) and value:
            name = value.get("name", value.get("file")) if isinstance(value, dict) else None
            _grow(tree.add(f"[bold]{name or key}[/bold]"), value)
        elif key not in ("name", "file"):
            tree.add(f"{key}: {_short(value)}")


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@_command
def convert(
    raw: Annotated[list[Path], typer.Argument(help="Raw files of one dataset.")],
    store: Annotated[Path, typer.Argument(help="Store to write, for example spim.zarr.")],
    signal_type: Annotated[
        str | None, typer.Option(help="EDS_TEM or EDS_SEM, where the file does not say it.")
    ] = None,
    energy_scale_kev: Annotated[
        float | None, typer.Option(help="Width of a channel, keV.", min=0)
    ] = None,
    energy_offset_kev: Annotated[
        float | None, typer.Option(help="Energy of the first channel, keV.")
    ] = None,
    pixel_size_nm: Annotated[
        float | None, typer.Option(help="Height and width of a pixel, nm.", min=0)
    ] = None,
    pair_files: Annotated[
        bool, typer.Option(help="Add files beside that are of the same acquisition (Gatan, TIA).")
    ] = True,
    first_frame: Annotated[
        int | None, typer.Option(min=1, help="First frame to sum, from 1; else the first of all.")
    ] = None,
    last_frame: Annotated[
        int | None, typer.Option(min=1, help="Last frame to sum; else the last of all.")
    ] = None,
    separate_detectors: Annotated[
        bool, typer.Option("--separate-detectors", help="Store the counts of each detector too.")
    ] = False,
    separate_frames: Annotated[
        bool, typer.Option("--separate-frames", help="Store the counts of each frame too.")
    ] = False,
    memory_limit_gb: Annotated[
        float, typer.Option(help="Refuse a file projected to need more memory, GB.")
    ] = 8.0,
) -> None:
    """Convert raw vendor files into a chunked store."""
    from mlatem import settings
    from mlatem.steps import convert as step

    overrides = {
        "signal_type": signal_type,
        "energy_scale_kev": energy_scale_kev,
        "energy_offset_kev": energy_offset_kev,
        "pixel_size_nm": pixel_size_nm,
    }
    values = {
        "memory_limit_gb": memory_limit_gb,
        "pair_files": pair_files,
        "first_frame": first_frame,
        "last_frame": last_frame,
        "separate_detectors": separate_detectors,
        "separate_frames": separate_frames,
    }
    reading = settings.parse({"convert": values}, source="command line").convert
    step.convert(raw, store, acquisition_overrides=overrides, settings=reading)
    typer.echo(f"wrote {store}")


@_command
def export(
    store: Store,
    path: Annotated[Path, typer.Argument(help="File to write, for example spim.hspy.")],
) -> None:
    """Write a store as a HyperSpy file, with all counts and metadata."""
    from mlatem.steps import export as step

    step.export(store, path)
    typer.echo(f"wrote {path}")


@_command
def calibrate(
    store: Store,
    calibration: Annotated[Path, typer.Argument(help="File to write (calibration.json).")],
    elements: Elements = "",
    thickness_nm: Annotated[float | None, typer.Option(help="Specimen thickness, nm.")] = None,
    density_g_cm3: Annotated[float | None, typer.Option(help="Specimen density, g/cm3.")] = None,
    beam_energy_kev: Annotated[float | None, typer.Option(help="Beam energy, keV.")] = None,
    threads: Threads = 1,
) -> None:
    """Fit energy axis, resolution and mean composition on the sum spectrum."""
    from mlatem import settings
    from mlatem.sheet import DatasetRow, dataset_name
    from mlatem.steps import calibrate as step

    cells = {
        "dataset": dataset_name(store.resolve().name),
        "path": store.name,
        "elements": elements,
        "thickness_nm": thickness_nm,
        "density_g_cm3": density_g_cm3,
        "beam_energy_kev": beam_energy_kev,
    }
    step.calibrate(
        store,
        calibration=calibration,
        row=DatasetRow.from_strings({k: str(v) for k, v in cells.items() if v is not None}),
        edxs=settings.Edxs(),
        settings=settings.Calibrate(),
        threads=threads,
    )
    typer.echo(f"wrote {calibration}")


@_command
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


@_command
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


@_command
def identify(
    path: Annotated[Path, typer.Argument(help="Raw file or converted store.")],
    elements: Annotated[
        str, typer.Option("--elements", "-e", help="A list to check, for example O,Si,Fe.")
    ] = "",
    beam_energy_kev: Annotated[float | None, typer.Option(help="Beam energy, keV.")] = None,
    threads: Threads = 1,
) -> None:
    """Find the elements that a spectrum image shows, those of small parts of it too."""
    from mlatem.steps import identify as step

    result = step.identify(
        path,
        elements=tuple(part.strip() for part in elements.split(",") if part.strip()),
        beam_energy_kev=beam_energy_kev,
        threads=threads,
    )
    for line in step.lines_of(result):
        typer.echo(line)


@_command
def denoise(
    store: Store,
    calibration: Annotated[Path, typer.Argument(help="calibration.json of the store.")],
    lowrank: Annotated[Path, typer.Argument(help="Folder to write (lowrank.zarr).")],
    threads: Threads = 1,
) -> None:
    """Find the low-rank basis and the scores of every pixel."""
    from mlatem import settings
    from mlatem.steps import denoise as step

    step.denoise(
        store,
        calibration,
        lowrank=lowrank,
        edxs=settings.Edxs(),
        settings=settings.Denoise(),
        threads=threads,
    )
    typer.echo(f"wrote {lowrank}")


@_command
def factorize(
    store: Store,
    calibration: Annotated[Path, typer.Argument(help="calibration.json of the store.")],
    lowrank: Annotated[Path, typer.Argument(help="lowrank.zarr of the store.")],
    factorization: Annotated[Path, typer.Argument(help="Folder to write (factorization.zarr).")],
    n_phases: Annotated[str, typer.Option("--n-phases", "-k", help="A number, or auto.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of thinning and clustering.")] = 0,
    priors: Annotated[Path | None, typer.Option(help="What is known of the phases (YAML).")] = None,
    threads: Threads = 1,
) -> None:
    """Factorise a spectrum image into phases."""
    from mlatem import api, settings
    from mlatem.steps import factorize as step

    values = {"n_phases": n_phases if n_phases == "auto" else _number(n_phases), "seed": seed}
    step.factorize(
        store,
        calibration,
        lowrank,
        factorization=factorization,
        edxs=settings.Edxs(),
        settings=settings.parse({"factorize": values}, source="command line").factorize,
        priors=None if priors is None else api.load_priors(priors),
        threads=threads,
    )
    typer.echo(f"wrote {factorization}")


@_command
def quantify(
    factorization: Annotated[Path, typer.Argument(help="factorization.zarr.")],
    calibration: Annotated[Path, typer.Argument(help="calibration.json of the store.")],
    table: Annotated[Path, typer.Argument(help="Table to write (phases.csv).")],
    maps: Annotated[Path, typer.Argument(help="Folder to write (maps.zarr).")],
) -> None:
    """Quantify phases and pixels, and print the phases."""
    from mlatem import settings
    from mlatem.steps import quantify as step

    result = step.quantify(
        factorization,
        calibration,
        table=table,
        maps=maps,
        dataset="",
        edxs=settings.Edxs(),
        settings=settings.Quantify(),
    )
    typer.echo(result.pivot().round(2).to_string())


@_command
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of one dataset's results.")],
) -> None:
    """Write report.html again from the results of one dataset."""
    from mlatem.steps.report import report_folder

    typer.echo(f"wrote {report_folder(folder)}")


@_command
def simulate(
    specimen: Annotated[Path, typer.Argument(help="Description of the specimen, YAML.")],
    folder: Annotated[Path, typer.Argument(help="Folder for the data and the truth.")],
    name: Annotated[str | None, typer.Option(help="Name of the files; else the YAML's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Replaces the YAML's seed.")] = None,
) -> None:
    """Simulate a specimen with known truth."""
    from mlatem.steps import simulate as step

    for path in step.simulate(specimen, folder, name=name, seed=seed):
        typer.echo(f"wrote {path}")


@_command
def check(
    path: Annotated[Path, typer.Argument(help="Folder of a campaign, or a store.")] = Path(),
    deep: Annotated[bool, typer.Option("--deep", help="Of a store: read all counts too.")] = False,
) -> None:
    """Check a campaign before a run, or a store for what is wrong with it."""
    from mlatem.io.store import is_store
    from mlatem.steps import check as step

    found = step.check_store(path, deep=deep) if is_store(path) else step.check_campaign(path)
    for line in found.notes:
        typer.echo(line)
    for line in found.problems:
        typer.secho(line, fg="red", err=True)
    if found.problems:
        raise typer.Exit(1)
    if is_store(path):
        typer.echo("the store is in order" + ("" if deep else "; its counts were not read"))
    else:
        typer.echo("configuration, sample sheet and raw files are in order")


@_command
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new campaign.")],
) -> None:
    """Start a campaign: config/config.yaml and config/datasets.tsv to fill in."""
    from mlatem.steps import start as step

    for path in step.init(folder):
        typer.echo(f"wrote {path}")


@_command
def schema(
    root: Annotated[Path, typer.Argument(help="Root of the repository.")] = Path(),
) -> None:
    """Regenerate the default configuration and the JSON schemas from the settings."""
    from mlatem.schema import generated_files

    for name, text in generated_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path}")


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text
