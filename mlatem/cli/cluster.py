# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands on clusters and long campaigns."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from mlatem.cli.app import app, command, guard

profile = typer.Typer(help="Profiles with which Snakemake runs on a cluster.", no_args_is_help=True)
app.add_typer(profile, name="profile")


@command
def status(
    folder: Annotated[Path, typer.Argument(help="Folder of the campaign.")] = Path(),
    all_: Annotated[bool, typer.Option("--all", help="Every failed and running dataset.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Show what is done, running and failed, with the reason, and how long it still takes."""
    from mlatem.steps import status as step

    found = step.status(folder)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    for line in found.lines(most=len(found.outcomes) if all_ else 20):
        typer.echo(line)


@command
def ingest(
    drop: Annotated[Path, typer.Argument(help="Folder into which new raw files come.")],
    into: Annotated[Path, typer.Option("--into", help="Sample sheet.")] = Path(
        "config/datasets.tsv"
    ),
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds for which a file has to stay unchanged.")
    ] = 60.0,
    marker_only: Annotated[
        bool, typer.Option("--marker-only", help="Take files with FILE.ready or FILE.done only.")
    ] = False,
) -> None:
    """Add new, complete files to a sample sheet; made for cron, prints only what is new.

    Exit status: 0, also where nothing is new; 1 for an error; 3 where a file is no dataset; 75
    where another ingest is at work.
    """
    from mlatem.steps import ingest as step

    try:
        report = step.ingest(drop, into, settle_s=settle, marker_only=marker_only)
    except step.IngestBusyError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(75) from None
    for path, name in report.taken.items():
        typer.echo(f"took {path} as {name}")
    for reason in report.refused.values():
        typer.secho(f"not taken: {reason}", fg="red", err=True)
    if report.refused:
        raise typer.Exit(3)


@command
def warm_up() -> None:
    """Compile the numerical kernels once, so that jobs find them in the cache.

    On a cluster run it on a node, for example by srun: the code depends on the processor.
    """
    from mlatem.steps import warm_up as step

    use = step.warm_up()
    typer.echo(
        f"{use.n_compiled} kernels compiled, {use.n_loaded} were in the cache beside {use.folder}"
    )


@profile.command()
@guard
def install(
    kind: Annotated[Literal["slurm"], typer.Argument(help="Scheduler of the cluster.")],
    partition: Annotated[
        str | None, typer.Option("--partition", help="Partition; else the cluster's default.")
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", help="Account to charge; else your default one.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Jobs that wait or run at a time.")] = 200,
    status_command: Annotated[
        str | None,
        typer.Option(help="squeue on a cluster without accounting, else sacct; else guessed."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the profile; else slurm.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a profile of that name.")] = False,
) -> None:
    """Write a profile, so that `snakemake --profile slurm` works for you."""
    from mlatem.campaign import profiles

    options = profiles.SlurmOptions(partition, account, status_command, jobs)
    chosen = name or kind
    path = profiles.install(chosen, options, folder=profiles.user_folder(), force=force)
    typer.echo(f"wrote {path}")
    typer.echo(
        f"partition: {partition or 'default of the cluster'}, account: {account or 'your default'}"
    )
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        words = "the executor for SLURM is not installed here yet: pip install 'mlatem[slurm]'"
        typer.secho(words, fg="yellow", err=True)
    where = f"--partition {partition} " if partition else ""
    typer.echo(f"compile once, on a node: srun {where}--mem 1500 mlatem warm-up")
    typer.echo(f"run a campaign with: snakemake --profile {chosen} --directory CAMPAIGN")


@profile.callback()
def _profile() -> None:
    """Profiles with which Snakemake runs on a cluster."""
