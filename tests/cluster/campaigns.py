# SPDX-License-Identifier: GPL-3.0-or-later
"""Small campaigns for the virtual cluster, and the processes of their jobs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from virtual_slurm import VirtualSlurm

ROOT = Path(__file__).resolve().parents[2]
#: A cluster of this machine answers at once; one of a computing centre must not be asked so often.
QUICK = ("--slurm-init-seconds-before-status-checks=1", "--seconds-between-status-checks=1")

SETTINGS = "factorize: {n_thinnings: 1}\n"


@dataclass
class CampaignOnCluster:
    """A campaign whose user has the profile `slurm`."""

    folder: Path
    slurm: VirtualSlurm
    environment: dict[str, str]

    def start(self, *options: str, out: str = "run.out") -> subprocess.Popen[str]:
        """Begin a run by the command that the documentation names, and keep what it prints."""
        command = [str(Path(sys.executable).with_name("snakemake")), "--profile", "slurm"]
        with (self.folder / out).open("w") as file:
            return subprocess.Popen(
                [*command, "--directory", str(self.folder), *QUICK, "--latency-wait=15", *options],
                cwd=ROOT,
                env=self.environment,
                stdout=file,
                stderr=file,
                text=True,
                start_new_session=True,
            )

    def run(self, *options: str, seconds: float = 900) -> str:
        """What a run that has to succeed printed."""
        status = self.start(*options).wait(seconds)
        assert status == 0, self.printed()[-6000:]
        return self.printed()

    def printed(self, out: str = "run.out") -> str:
        """What the last run printed so far."""
        return (self.folder / out).read_text()

    def results(self, dataset: str) -> Path:
        """Folder of the results of a dataset."""
        return self.folder / "results" / dataset

    def job_of(self, dataset: str) -> str:
        """Number of the waiting or running job of SLURM that works on a dataset."""
        (number,) = (job[0] for job in self.slurm.jobs() if job[3].endswith(f"_{dataset}"))
        return number

    def processes_of(self, dataset: str, step: str) -> list[int]:
        """Numbers of the processes that work on a step."""
        return writers_of((self.folder / "logs" / dataset / f"{step}.log").resolve())


def new_campaign(
    folder: Path,
    raw: Path,
    names: Iterable[str],
    slurm: VirtualSlurm,
    profiles: Path,
    settings: str = "",
) -> CampaignOnCluster:
    """A campaign of copies of one small map.

    Parameters
    ----------
    folder : Path
        To make.
    raw : Path
        The map.
    names : iterable of str
        Of the datasets.
    slurm : VirtualSlurm
    profiles : Path
        Folder of the user's settings, with the profile.
    settings : str, optional
        Further ones of the campaign, as YAML.
    """
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "config.yaml").write_text(SETTINGS + settings)
    rows = [f"{name}\t{raw}\tO,Si,Ti,Fe\t3\t40\n" for name in names]
    head = "dataset\tpath\telements\tn_phases\tthickness_nm\n"
    (folder / "config" / "datasets.tsv").write_text(head + "".join(rows))
    environment = {**slurm.environment, "XDG_CONFIG_HOME": str(profiles)}
    return CampaignOnCluster(folder, slurm, environment)


def writers_of(path: Path) -> list[int]:
    """Numbers of the processes that hold a file open."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(link.readlink() == path for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def node_of(process: int) -> str:
    """The virtual node on which a process of a job runs."""
    entries = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    (name,) = (entry for entry in entries if entry.startswith(b"SLURMD_NODENAME="))
    return name.partition(b"=")[2].decode()
