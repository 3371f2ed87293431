# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands from a store to quantified phases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlatem.cli.app import Elements, Store, Threads, command


@command
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


@command
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


@command
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


@command
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


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


@command
def find_rare_phases(
    store: Store,
    factorization: Annotated[Path, typer.Argument(help="factorization.zarr of the store.")],
    rare: Annotated[Path, typer.Argument(help="Folder to write (rare.zarr).")],
    threads: Threads = 1,
) -> None:
    """Find pixels that hold more of an element than their phases."""
    from mlatem import settings
    from mlatem.steps import rare_phases as step

    search = step.find_rare_phases(
        store, factorization, rare=rare, settings=settings.Factorize(), threads=threads
    )
    for i, n_pixels in enumerate(search.n_pixels):
        elements = ", ".join(search.excess_elements(i)) or "no single element"
        typer.echo(f"candidate {i + 1}: {elements} on {n_pixels} pixels")
    typer.echo(f"{search.n_candidates} candidates; wrote {rare}")


@command
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


@command
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of one dataset's results.")],
) -> None:
    """Write report.html again from the results of one dataset."""
    from mlatem.steps.report import report_folder

    typer.echo(f"wrote {report_folder(folder)}")
