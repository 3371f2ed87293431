# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow on small campaigns: failures, reruns, and what depends on what."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

import mlatem
from mlatem.campaign.claim import claim
from mlatem.campaign.folder import load_folder
from mlatem.campaign.resources import work_mb
from mlatem.io.atomic import read_json
from mlatem.io.datasets import load_dataset
from mlatem.io.store import load_spectrum_image
from mlatem.model import Factorization
from mlatem.steps.check import check_campaign

ROOT = Path(__file__).resolve().parents[2]
SPECIMEN = ROOT / "examples" / "specimens" / "small.yaml"
ELEMENTS = "O,Si,Ti,Fe"


def replace_counts(path: Path, counts: np.ndarray) -> None:
    """Write other counts into a HyperSpy file."""
    with h5py.File(path, "r+") as file:
        (signal,) = (g for g in file["Experiments"].values() if g["data"].ndim == 3)
        del signal["data"]
        signal["data"] = counts


def write_sheet(folder: Path, rows: list[dict[str, str]]) -> None:
    columns = ["dataset", "path", "elements", "n_phases", "thickness_nm", "priors"]
    with (folder / "config" / "datasets.tsv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def row(dataset: str, path: str, **cells: str) -> dict[str, str]:
    return {
        "dataset": dataset,
        "path": path,
        "elements": ELEMENTS,
        "n_phases": "3",
        "thickness_nm": "40",
        **cells,
    }


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--profile", str(ROOT / "profiles" / "local")]
    return subprocess.run(
        [*command, "--cores", "2", "--directory", str(folder), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def planned(folder: Path) -> set[str]:
    """Rules that a run would execute."""
    text = snakemake(folder, "--dry-run").stdout
    return set(re.findall(r"^(?:local)?rule (\w+):", text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """A campaign of two good datasets and of every kind of bad one, after its first run."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "config").mkdir()
    (folder / "raw").mkdir()
    (folder / "config" / "config.yaml").write_text("factorize:\n  n_thinnings: 2\n")
    mlatem.simulate(SPECIMEN, folder / "raw", name="good")
    good = (folder / "raw" / "good.hspy").read_bytes()
    (folder / "raw" / "cut.hspy").write_bytes(good[: len(good) // 2])
    (folder / "raw" / "empty.hspy").write_bytes(b"")
    for name, counts in (
        ("dark", np.zeros((32, 40, 1024), np.uint16)),
        ("nan", np.full((32, 40, 1024), np.nan, np.float32)),
    ):
        shutil.copy(folder / "raw" / "good.hspy", folder / "raw" / f"{name}.hspy")
        replace_counts(folder / "raw" / f"{name}.hspy", counts)
    write_sheet(
        folder,
        [
            row("good", "raw/good.hspy"),
            row("other", "raw/good.hspy"),
            row("cut", "raw/cut.hspy"),
            row("empty", "raw/empty.hspy"),
            row("dark", "raw/dark.hspy"),
            row("nan", "raw/nan.hspy"),
            row("lost", "raw/lost.emd"),
            row("odd", "raw/good.hspy", elements="O,Xx"),
            row("many", "raw/good.hspy", n_phases="40"),
        ],
    )
    return folder, snakemake(folder)


@pytest.fixture(scope="module")
def mended(campaign):
    """The campaign without its bad datasets, after its second run."""
    folder, _ = campaign
    before = (folder / "results" / "good" / "phases.csv").stat().st_mtime_ns
    write_sheet(folder, [row("good", "raw/good.hspy"), row("other", "raw/good.hspy")])
    return folder, snakemake(folder), before


def test_bad_datasets_fail_and_the_others_finish(campaign):
    folder, run = campaign
    assert run.returncode != 0
    for name in ("good", "other"):
        done = read_json(folder / "results" / name / "DONE.json")
        assert done["n_phases"] == 3
    for name in ("cut", "empty", "dark", "nan", "lost", "odd", "many"):
        assert not (folder / "results" / name / "DONE.json").exists()


def test_the_run_and_the_index_name_each_failure(campaign):
    folder, run = campaign
    page = (folder / "results" / "index.html").read_text(encoding="utf-8")
    files = [f"raw/{name}.hspy" for name in ("cut", "empty", "dark", "nan")]
    for words in (*files, "raw/lost.emd", "Xx", "n_phases is 40"):
        assert words in page
        assert words in run.stdout + run.stderr
    table = pd.read_csv(folder / "results" / "campaign.csv").set_index("dataset")
    assert len(table) == 9
    assert not (folder / "results" / "DONE.json").exists()


def test_nothing_half_written_is_left(campaign):
    folder, _ = campaign
    assert list(folder.rglob("*.partial")) == []
    assert not (folder / "results" / "cut" / "spim.zarr").exists()


def test_phases_come_back(campaign):
    folder, _ = campaign
    found = pd.read_csv(folder / "results" / "good" / "phases.csv")
    found = found.pivot_table(index="phase", columns="element", values="atomic_percent")
    truth = pd.read_csv(folder / "raw" / "good_truth.csv")
    truth = truth.pivot_table(index="phase", columns="element", values="atomic_percent").fillna(0)
    for _, composition in truth.iterrows():
        distance = np.abs(found[composition.index] - composition).mean(axis=1)
        assert distance.min() < 2.0


def test_one_job_for_a_dataset_gives_the_same_numbers(campaign, tmp_path):
    folder, _ = campaign
    shutil.copytree(folder / "raw", tmp_path / "raw")
    (tmp_path / "config").mkdir()
    settings = "factorize:\n  n_thinnings: 2\nworkflow:\n  jobs: dataset\n"
    (tmp_path / "config" / "config.yaml").write_text(settings)
    write_sheet(tmp_path, [row("good", "raw/good.hspy"), row("cut", "raw/cut.hspy")])
    assert planned(tmp_path) == {"analyse", "index", "all"}
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert "raw/cut.hspy" in (tmp_path / "results" / "index.html").read_text(encoding="utf-8")
    found, expected = (
        pd.read_csv(place / "results" / "good" / "phases.csv") for place in (tmp_path, folder)
    )
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    names = {path.name for path in (folder / "results" / "good").iterdir()}
    assert {path.name for path in (tmp_path / "results" / "good").iterdir()} == names
    (log,) = (tmp_path / "logs" / "good").glob("*.log")
    (peak,) = re.findall(r"job finished in .* peak (\d+) MB", log.read_text())
    projected = work_mb("analyse", load_folder(tmp_path).extent("good"), threads=2)
    assert float(peak) < projected < 2 * float(peak)


def test_a_second_run_at_the_same_time_is_refused(campaign):
    folder, _ = campaign
    before = (folder / "results" / "index.html").stat().st_mtime_ns
    held = claim(folder / "results", folder)
    try:
        run = snakemake(folder)
    finally:
        held.release()
    assert run.returncode != 0
    assert "another run works on these results" in run.stdout + run.stderr
    assert (folder / "results" / "index.html").stat().st_mtime_ns == before


def test_jobs_ask_for_the_memory_that_they_need(campaign):
    folder, _ = campaign
    extent = load_folder(folder).extent("good")
    logs = list((folder / "logs" / "good").glob("*.log"))
    assert len(logs) == 7
    for log in logs:
        (peak,) = re.findall(r"job finished in .* peak (\d+) MB", log.read_text())
        projected = work_mb(log.stem, extent, threads=2)
        assert float(peak) < projected < 2 * float(peak), log.stem


def test_a_mended_campaign_finishes_without_redoing_the_rest(mended):
    folder, run, before = mended
    assert run.returncode == 0, run.stderr[-3000:]
    assert read_json(folder / "results" / "DONE.json")["datasets"] == ["good", "other"]
    assert (folder / "results" / "good" / "phases.csv").stat().st_mtime_ns == before
    assert "lost.emd" not in (folder / "results" / "index.html").read_text(encoding="utf-8")


def test_a_second_run_does_nothing(mended):
    folder, _, _ = mended
    run = snakemake(folder)
    assert run.returncode == 0
    assert "Nothing to be done" in run.stdout + run.stderr


def test_the_report_of_snakemake_needs_no_network(mended, tmp_path):
    folder, _, _ = mended
    cut_off = ["unshare", "--net"]
    if os.geteuid() or subprocess.run([*cut_off, "true"], check=False).returncode:
        cut_off = []
    page = tmp_path / "report.html"
    command = [*cut_off, sys.executable, "-m", "snakemake", "--directory", str(folder)]
    run = subprocess.run(
        [*command, "--report", str(page)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert page.stat().st_size > 1e6


def test_a_new_thickness_reruns_only_what_depends_on_it(mended):
    folder, _, _ = mended
    write_sheet(
        folder, [row("good", "raw/good.hspy", thickness_nm="50"), row("other", "raw/good.hspy")]
    )
    text = snakemake(folder, "--dry-run").stdout
    rules = planned(folder)
    assert "calibrate" in rules
    assert {"quantify", "report", "index"} <= rules
    assert "convert" not in rules
    assert "results/good/calibration.json" in text
    assert not re.search(r"output: results/other/", text)


def test_a_changed_heading_redoes_the_index_only(mended):
    folder, _, _ = mended
    write_sheet(folder, [row("good", "raw/good.hspy"), row("other", "raw/good.hspy")])
    config = folder / "config" / "config.yaml"
    limits = "workflow:\n  max_minutes: 60\n"
    config.write_text(f"factorize:\n  n_thinnings: 2\n{limits}report:\n  title: Night shift\n")
    assert planned(folder) == {"all", "index"}


def test_new_priors_rerun_from_the_factorisation_on(mended):
    folder, _, _ = mended
    priors = folder / "config" / "priors.yaml"
    priors.write_text("phases:\n  oxide: {absent: [Fe], ratios: {O/Si: {min: 1}}}\n")
    good = row("good", "raw/good.hspy", priors="config/priors.yaml")
    write_sheet(folder, [good, row("other", "raw/good.hspy")])
    rules = planned(folder)
    assert {"factorize", "quantify", "report"} <= rules
    assert not rules & {"convert", "calibrate", "denoise"}
    run = snakemake(folder, "results/good/factorization.zarr.zip")
    assert run.returncode == 0, run.stderr[-3000:]
    result = Factorization.from_dataset(
        load_dataset(folder / "results/good/factorization.zarr.zip")
    )
    assert sorted(result.attrs["phase_names"]) == ["", "", "oxide"]
    priors.write_text("phases:\n  oxide: {regions: {only_in: [{y: [0, 9], x: [0, 9]}]}}\n")
    assert "factorize" in planned(folder)
    priors.write_text("phases:\n  oxide: {regions: {only_in: [{y: [0, 9], x: [0, 99]}]}}\n")
    (problem,) = check_campaign(folder).problems
    assert "reach out of the map of 32 rows and 40 columns" in problem


@pytest.mark.parametrize(
    ("config", "sheet", "named"),
    [
        ("factorize:\n  n_phase: 3\n", None, "did you mean n_phases"),
        ("{}\n", "dataset\tpath\na\tx.emd\na\ty.emd\n", "a is named twice"),
        ("{}\n", "dataset\tfile\na\tx.emd\n", "lacks the column 'path'"),
    ],
)
def test_a_bad_configuration_stops_before_anything_runs(tmp_path, config, sheet, named):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(config)
    (tmp_path / "config" / "datasets.tsv").write_text(sheet or "dataset\tpath\na\tx.emd\n")
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert re.search(named, run.stdout + run.stderr)
    assert not (tmp_path / "results").exists()


def test_the_sheet_calibrates_a_file_that_does_not_know_its_axes(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("{}\n")
    header = {
        **{"width": 3, "height": 2, "depth": 16, "offset": 0, "data-length": 1},
        **{"data-type": "unsigned", "byte-order": "dont-care", "record-by": "vector"},
    }
    lines = ["key\tvalue", *(f"{key}\t{value}" for key, value in header.items())]
    (tmp_path / "a.rpl").write_text("\n".join(lines) + "\n")
    (tmp_path / "a.raw").write_bytes(bytes(range(96)))
    columns = "dataset\tpath\telements\tsignal_type\tenergy_scale_kev\tpixel_size_nm"
    sheet = tmp_path / "config" / "datasets.tsv"
    sheet.write_text(f"{columns}\na\ta.rpl\tO\t\t\t\n")
    (problem,) = check_campaign(tmp_path).problems
    assert "Give signal_type in the sample sheet" in problem
    sheet.write_text(f"{columns}\na\ta.rpl\tO\tEDS_TEM\t0.02\t5\n")
    (problem,) = check_campaign(tmp_path).problems
    assert "the beam energy is missing" in problem
    run = snakemake(tmp_path, "results/a/spim.zarr")
    assert run.returncode == 0, run.stderr[-3000:]
    image = load_spectrum_image(tmp_path / "results" / "a" / "spim.zarr")
    np.testing.assert_allclose(image.energy, 0.02 * np.arange(16))
    np.testing.assert_allclose(image.x_nm, 5.0 * np.arange(3))
    sheet.write_text(f"{columns}\na\ta.rpl\tO\tEDS_TEM\t0.03\t5\n")
    assert "convert" in planned(tmp_path)


def test_the_repository_has_a_campaign_of_its_own(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert "no datasets" in run.stdout + run.stderr
