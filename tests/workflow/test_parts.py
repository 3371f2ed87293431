# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns of very many datasets: several in one job, and plans in parts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import mlatem
from mlatem.io.atomic import read_json

ROOT = Path(__file__).resolve().parents[2]
SPECIMEN = ROOT / "examples" / "specimens" / "small.yaml"
TINY = {"n_rows": 16, "n_columns": 16, "pixel_nm": 10.0, "n_channels": 512, "channel_ev": 20.0}


def write_sheet(folder, files, thickness_nm="40"):
    rows = [f"{name}\traw/{file}\tO,Si,Ti,Fe\t3\t{thickness_nm}" for name, file in files.items()]
    head = "dataset\tpath\telements\tn_phases\tthickness_nm"
    (folder / "config" / "datasets.tsv").write_text("\n".join([head, *rows]) + "\n")


def snakemake(folder, *options):
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    return subprocess.run(
        [*command, "--cores", "2", "--directory", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def made(folder, *names):
    """When the datasets were finished."""
    return [(folder / "results" / name / "DONE.json").stat().st_mtime_ns for name in names]


def planned(folder):
    return re.findall(r"^(?:local)?rule (\w+):", snakemake(folder, "-n").stdout, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    specimen = {**yaml.safe_load(SPECIMEN.read_text()), **TINY, "counts_per_pixel": 400.0}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(specimen))
    mlatem.simulate(folder / "tiny.yaml", folder / "raw", name="map")
    return folder / "raw" / "map.hspy"


@pytest.fixture
def campaign(raw, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "raw").mkdir()
    for name in ("a.hspy", "b.hspy"):
        shutil.copy(raw, tmp_path / "raw" / name)
    return tmp_path


def test_datasets_that_share_a_job_fail_and_are_redone_alone(campaign):
    settings = "factorize: {n_thinnings: 2}\nworkflow: {jobs: dataset, datasets_per_job: 2}\n"
    (campaign / "config" / "config.yaml").write_text(settings)
    write_sheet(campaign, {"a": "a.hspy", "lost": "lost.hspy", "b": "b.hspy"})
    assert sorted(planned(campaign)) == ["all", "analyse_part", "analyse_part", "index"]
    run = snakemake(campaign)
    assert run.returncode != 0
    assert "raw/lost.hspy: no such file" in run.stdout + run.stderr
    table = pd.read_csv(campaign / "results" / "campaign.csv").set_index("dataset")
    assert table["status"].to_dict() == {"a": "finished", "b": "finished", "lost": "failed"}

    before = made(campaign, "a", "b")
    shutil.copy(campaign / "raw" / "a.hspy", campaign / "raw" / "lost.hspy")
    run = snakemake(campaign)
    assert run.returncode == 0, run.stderr[-3000:]
    assert read_json(campaign / "results" / "DONE.json")["datasets"] == ["a", "lost", "b"]
    assert made(campaign, "a", "b") == before
    assert planned(campaign) == []

    first, second = (read_json(campaign / "results" / d / "DONE.json") for d in ("a", "lost"))
    assert first["outputs"] != second["outputs"]  # the tables name their dataset
    assert (
        first["provenance"]["sources"][0]["sha256"] == second["provenance"]["sources"][0]["sha256"]
    )
    n_files = sum(path.is_file() for path in (campaign / "results" / "a").rglob("*"))
    assert n_files <= 60

    (campaign / "results" / "b" / "DONE.json").unlink()
    assert sorted(planned(campaign)) == ["all", "analyse_part", "index"]


def test_a_campaign_is_planned_and_run_in_parts(campaign):
    (campaign / "config" / "config.yaml").write_text("factorize: {n_thinnings: 2}\n")
    write_sheet(campaign, {"a": "a.hspy", "b": "b.hspy"})
    run = snakemake(campaign, "--batch", "index=1/2")
    assert run.returncode == 0, run.stderr[-3000:]
    assert (campaign / "results" / "a" / "DONE.json").exists()
    assert not (campaign / "results" / "b").exists()
    run = snakemake(campaign, "--batch", "index=2/2")
    assert run.returncode == 0, run.stderr[-3000:]
    assert read_json(campaign / "results" / "DONE.json")["datasets"] == ["a", "b"]
