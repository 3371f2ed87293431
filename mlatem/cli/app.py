# SPDX-License-Identifier: GPL-3.0-or-later
"""The parser: the program, how a command is registered, and arguments that several share."""

from __future__ import annotations

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


def command(function: F) -> F:
    """Register a command whose known errors end in one line on stderr and status 1."""
    guarded = guard(function)
    app.command()(guarded)
    return guarded


def guard(function: F) -> F:
    """A command whose known errors end in one line on stderr and status 1."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except MlatemError as error:
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(1) from None

    return cast(F, guarded)


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
) -> None:
    """Spectrum images to quantified phases."""
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
