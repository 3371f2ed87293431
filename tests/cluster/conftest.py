# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual SLURM, a user with the profile, and a small map."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaigns import ROOT, CampaignOnCluster, new_campaign
from virtual_slurm import PACKAGES, VirtualSlurm, cluster, missing

import mlatem
from mlatem.campaign.profiles import SlurmOptions, install


@pytest.fixture(scope="session")
def slurm() -> Iterator[VirtualSlurm]:
    """Three virtual nodes; the tests are skipped where SLURM is not installed."""
    if missing():
        pytest.skip(
            f"SLURM is not installed ({', '.join(missing())} not found): as root, apt-get install "
            f"--no-install-recommends {' '.join(PACKAGES)}"
        )
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("snakemake-executor-plugin-slurm is not installed: pip install 'mlatem[slurm]'")
    if sys.platform != "linux":
        pytest.skip("the virtual cluster needs Linux")
    # Sockets have short paths: not below the folders of the tests.
    with tempfile.TemporaryDirectory(prefix="slurm") as folder, cluster(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def settings_of_user(tmp_path_factory) -> Path:
    """What `mlatem profile install slurm` leaves."""
    folder = tmp_path_factory.mktemp("settings")
    options = SlurmOptions(partition="short", status_command="squeue")
    install("slurm", options, folder=folder / "snakemake")
    return folder


@pytest.fixture(scope="session")
def raw(tmp_path_factory) -> Path:
    """A small map."""
    folder = tmp_path_factory.mktemp("raw")
    mlatem.simulate(ROOT / "examples" / "specimens" / "small.yaml", folder, name="small")
    return folder / "small.hspy"


@pytest.fixture(scope="session")
def make_campaign(
    slurm, settings_of_user, raw, tmp_path_factory
) -> Callable[..., CampaignOnCluster]:
    """Makes campaigns of datasets that are named."""
    numbers = itertools.count()

    def make(*names: str, settings: str = "", raw: Path = raw) -> CampaignOnCluster:
        folder = tmp_path_factory.mktemp("campaigns") / f"campaign{next(numbers)}"
        return new_campaign(folder, raw, names, slurm, settings_of_user, settings)

    return make
