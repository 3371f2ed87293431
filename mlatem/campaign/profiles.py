# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles with which Snakemake runs a campaign on a cluster, and where it looks for them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from mlatem.errors import ConfigError
from mlatem.io.atomic import atomic_path

#: What SLURM allows in the name of a partition or an account, and no shell could mistake.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,+-]*")

_STATUS_COMMANDS = ("sacct", "squeue")

_TEMPLATE = """\
# SPDX-License-Identifier: GPL-3.0-or-later
#
# {about}
# Needs snakemake-executor-plugin-slurm: pip install 'mlatem[slurm]'
executor: slurm

# Jobs that wait or run at a time: raise it as far as the administrators of the cluster like.
jobs: {n_jobs}

# A job that failed is submitted again with more memory and time. Never as `retries:` of a rule:
# those would be tried within the memory and time of the first.
retries: {retries}

# Go on after a failed dataset, and mend what an interrupted run left.
keep-going: true
rerun-incomplete: true

# What a failed job wrote stays: each output is whole or not there. Else a job that is cancelled in
# its last moment, or comes back with a lost node, would take away results that others count on.
keep-incomplete: true

# The campaign has a lock of its own, which ends with the process that holds it.
nolock: true

# Scripts hold no science: a new one is no reason to do all again.
rerun-triggers: [mtime, params, input]

scheduler: greedy
printshellcmds: false
latency-wait: {latency_s}

# Stages after the conversion share one job of SLURM: each job costs 3 s of a processor and 300 MB
# before any work. A name for each (`groups: ["calibrate=first", "denoise=second", ...]`) gives all
# of them jobs of their own. Processors of a job that is shared: its stages run one after the other
# where they would need more.
cores: 2

# Rules ask for memory (mem_mb) and time (runtime) by the size of the dataset and the attempt.
# Change one with, for example, `set-resources: ["factorize:mem_mb=16000"]`.
default-resources:
  mem_mb: 800
  runtime: 10
{where}
{executor}"""


@dataclass(frozen=True)
class SlurmOptions:
    """What differs from cluster to cluster."""

    partition: str | None = None
    """None takes the cluster's default."""
    account: str | None = None
    """None takes the user's default."""
    status_command: str | None = None
    """sacct or squeue; None leaves the choice to the executor."""
    n_jobs: int = 200
    """Jobs that wait or run at a time."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Check the names.

        Raises
        ------
        ConfigError
        """
        for what in ("partition", "account"):
            name = getattr(self, what)
            if name is not None and not _NAME.fullmatch(name):
                raise ConfigError(
                    f"{what} {name!r}: expected a name of letters, digits and . , _ + -, as "
                    "`sinfo` and `sacctmgr show associations` list them"
                )
        if self.status_command not in (None, *_STATUS_COMMANDS):
            raise ConfigError(
                f"status command {self.status_command!r}: expected {' or '.join(_STATUS_COMMANDS)}"
            )
        if self.n_jobs < 1:
            raise ConfigError(f"{self.n_jobs} jobs at a time: expected at least 1")


def slurm_profile(options: SlurmOptions) -> str:
    """The profile of a cluster that runs SLURM, as YAML."""
    return _render(options, about="Campaigns on a cluster that runs SLURM.")


def generated_profiles() -> dict[str, str]:
    """Contents of the profiles in the repository that are generated, by path."""
    ci = SlurmOptions(partition="short", status_command="squeue", n_jobs=20)
    return {
        "profiles/slurm/config.yaml": slurm_profile(SlurmOptions()),
        "profiles/slurm-ci/config.yaml": _render(
            ci,
            about="The virtual cluster of the tests (tests/cluster/virtual_slurm.py).",
            latency_s=15,
            executor={
                "slurm-init-seconds-before-status-checks": 1,
                "seconds-between-status-checks": 1,
            },
        ),
    }


def user_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where Snakemake looks for the profiles of a user."""
    base = environment.get("XDG_CONFIG_HOME") or ""
    return (Path(base) if base else Path.home() / ".config") / "snakemake"


def install(name: str, options: SlurmOptions, *, folder: Path, force: bool = False) -> Path:
    """Write a profile where `snakemake --profile NAME` finds it.

    Parameters
    ----------
    name : str
        Of the profile, for example slurm.
    options : SlurmOptions
    folder : Path
        See `user_folder`.
    force : bool, optional
        Replace a profile that is there and differs.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    ConfigError
        If a profile of that name is there and differs.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"profile {name!r}: expected a name of letters, digits, '.', '-' and '_'")
    path = folder / name / "config.yaml"
    text = slurm_profile(options)
    if path.exists() and not force and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{path} exists and differs: give --force to replace it, or --name for another profile"
        )
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def _render(
    options: SlurmOptions,
    *,
    about: str,
    latency_s: int = 60,
    executor: Mapping[str, object] | None = None,
) -> str:
    where = {
        "slurm_partition": options.partition,
        "slurm_account": options.account,
    }
    named = {key: value for key, value in where.items() if value is not None}
    more: dict[str, object] = {} if options.account else {"slurm-no-account": True}
    if options.status_command is not None:
        more["slurm-status-command"] = options.status_command
    more |= executor or {}
    return _TEMPLATE.format(
        about=about,
        n_jobs=options.n_jobs,
        retries=2,
        latency_s=latency_s,
        where="".join(f"  {line}\n" for line in _lines(named)),
        executor="".join(f"{line}\n" for line in _lines(more)),
    )


def _lines(values: Mapping[str, object]) -> list[str]:
    return yaml.safe_dump(dict(values), sort_keys=False).splitlines() if values else []
