# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on campaigns and specimens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlatem.cli.app import command


@command
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


@command
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


@command
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new campaign.")],
) -> None:
    """Start a campaign: config/config.yaml and config/datasets.tsv to fill in."""
    from mlatem.steps import start as step

    for path in step.init(folder):
        typer.echo(f"wrote {path}")


@command
def schema(
    root: Annotated[Path, typer.Argument(help="Root of the repository.")] = Path(),
) -> None:
    """Regenerate the default configuration and the JSON schemas from the settings."""
    from mlatem.campaign.schema import generated_files

    for name, text in generated_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path}")
