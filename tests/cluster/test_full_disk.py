# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that fills up while a campaign runs: a plain reason, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import ROOT

from mlatem.io.atomic import read_json

ROOM_KB = 24_000


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM_KB}k", "tmpfs", str(folder)]
    may_mount = os.geteuid() == 0 and shutil.which("mount") is not None
    if not may_mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk that fills up takes the right to mount one: run as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_named_and_the_next_run_goes_on(small_disk, raw):
    (small_disk / "config").mkdir()
    settings = "factorize:\n  n_thinnings: 1\nworkflow:\n  jobs: dataset\n"
    (small_disk / "config" / "config.yaml").write_text(settings)
    head = "dataset\tpath\telements\tn_phases\tthickness_nm\n"
    rows = f"map\t{raw}\tO,Si,Ti,Fe\t3\t40\n"
    (small_disk / "config" / "datasets.tsv").write_text(head + rows)
    filler = small_disk / "filler"
    # Room for the records of Snakemake, not for the store.
    filler.write_bytes(bytes((ROOM_KB - 700) * 1000))
    run = snakemake(small_disk)
    assert run.returncode != 0
    assert "the disk is full; free some space and run again" in run.stdout + run.stderr
    assert not list(small_disk.rglob("*.partial"))
    filler.unlink()
    run = snakemake(small_disk)
    assert run.returncode == 0, run.stderr[-3000:]
    assert read_json(small_disk / "results" / "DONE.json")["datasets"] == ["map"]


def snakemake(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    return subprocess.run(
        [*command, "--cores", "2", "--directory", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
