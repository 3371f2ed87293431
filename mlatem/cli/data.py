# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on raw files and stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mlatem.cli.app import Store, command


@command
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


@command
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
    crop_y: Annotated[
        str | None, typer.Option(help="Rows to keep, as 10:200: from 0, without the last.")
    ] = None,
    crop_x: Annotated[str | None, typer.Option(help="Columns to keep, as 10:200.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Pixels to leave out: .npy or image of the whole map.")
    ] = None,
    energy_bin: Annotated[
        int, typer.Option(min=1, help="Channels of the energy axis to sum into one.")
    ] = 1,
    memory_limit_gb: Annotated[
        float, typer.Option(help="Refuse a file projected to need more memory, GB.")
    ] = 8.0,
) -> None:
    """Convert raw vendor files into a chunked store."""
    from mlatem import settings
    from mlatem.sheet import DatasetRow
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
    crop = {k: v for k, v in {"crop_y": crop_y, "crop_x": crop_x}.items() if v is not None}
    row = DatasetRow.from_strings({"dataset": "map", "path": store.name, **crop})
    preprocess = {"energy_bin": energy_bin, **row.crop}
    parsed = settings.parse({"convert": values, "preprocess": preprocess}, source="command line")
    step.convert(
        raw,
        store,
        acquisition_overrides=overrides,
        settings=parsed.convert,
        preprocess=parsed.preprocess,
        mask=mask,
    )
    typer.echo(f"wrote {store}")


@command
def export(
    store: Store,
    path: Annotated[Path, typer.Argument(help="File to write, for example spim.hspy.")],
) -> None:
    """Write a store as a HyperSpy file, with all counts and metadata."""
    from mlatem.steps import export as step

    step.export(store, path)
    typer.echo(f"wrote {path}")
