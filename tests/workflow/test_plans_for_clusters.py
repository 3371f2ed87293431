# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of a campaign under the profile of a cluster, in every division of its work into jobs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip(
    "snakemake_executor_plugin_slurm",
    reason="snakemake-executor-plugin-slurm is not installed: pip install 'mlatem[slurm]'",
)


def plan(folder: Path, settings: str, profile: str) -> str:
    """What a dry run of two datasets prints: jobs that share one of SLURM are indented."""
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(settings)
    rows = "".join(f"{name}\tmap.hspy\tO,Si\n" for name in ("first", "second"))
    (folder / "config" / "datasets.tsv").write_text("dataset\tpath\telements\n" + rows)
    (folder / "map.hspy").touch()
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / profile)]
    run = subprocess.run(
        [*command, "--directory", str(folder), "--dry-run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


@pytest.mark.parametrize(
    ("settings", "alone", "shared"),
    [
        ("factorize: {blocks: 1}", "convert", "factorize"),
        # Jobs on blocks stand between stages that otherwise share a job.
        ("factorize: {blocks: 3}", "fit_abundances", "report"),
        ("workflow: {jobs: dataset}", "analyse", None),
        ("workflow: {jobs: dataset, datasets_per_job: 2}", "analyse_part", None),
    ],
)
def test_every_division_into_jobs_can_be_planned(tmp_path, settings, alone, shared):
    text = plan(tmp_path, settings, "slurm-ci")
    assert re.search(rf"^rule {alone}:", text, flags=re.MULTILINE)
    found = set(re.findall(r"^ +rule (\w+):", text, flags=re.MULTILINE))
    assert (shared in found) if shared else not found


def test_on_one_machine_stages_share_no_job(tmp_path):
    text = plan(tmp_path, "factorize: {blocks: 3}", "local")
    assert re.search(r"^rule report:", text, flags=re.MULTILINE)
