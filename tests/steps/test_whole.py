# SPDX-License-Identifier: GPL-3.0-or-later
"""A dataset in one go: the numbers depend on no threads, and DONE.json holds what decided them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import mlatem
from mlatem.io.atomic import read_json
from mlatem.io.sources import sha256_of_file
from mlatem.settings import parse
from mlatem.sheet import DatasetRow
from mlatem.steps.report import DatasetFiles, report
from mlatem.steps.whole import analyse

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = parse({"factorize": {"n_thinnings": 2, "seed": 7}})
#: The order of all sums is that of the tiles, whoever works on them.
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def campaign(tmp_path_factory) -> Path:
    """A map that is larger than a tile, with priors."""
    folder = tmp_path_factory.mktemp("whole")
    text = (ROOT / "examples" / "specimens" / "small.yaml").read_text()
    size = {"n_rows": 160, "n_columns": 16, "n_channels": 512, "channel_ev": 20.0}
    (folder / "long.yaml").write_text(yaml.safe_dump(yaml.safe_load(text) | size))
    mlatem.simulate(folder / "long.yaml", folder, name="long")
    (folder / "priors.yaml").write_text("phases:\n  oxide: {absent: [Fe]}\n")
    return folder


@pytest.fixture(scope="module")
def results(campaign) -> dict[int, Path]:
    """Folders of results by the number of threads."""
    made = {}
    for threads in (1, 2):
        made[threads] = campaign / f"with {threads}"
        analyse(
            [campaign / "long.hspy"],
            made[threads],
            row=row(campaign),
            settings=SETTINGS,
            priors=campaign / "priors.yaml",
            threads=threads,
        )
    return made


def row(campaign: Path) -> DatasetRow:
    return DatasetRow(
        dataset="long",
        path=(str(campaign / "long.hspy"),),
        elements=("O", "Si", "Ti", "Fe"),
        n_phases=3,
        thickness_nm=40,
        priors=str(campaign / "priors.yaml"),
    )


def test_threads_change_no_number(results):
    tables = [pd.read_csv(folder / "phases.csv") for folder in results.values()]
    pd.testing.assert_frame_equal(*tables, rtol=TOLERANCE)


def test_what_decides_a_result_is_kept_with_it(results, campaign):
    done = read_json(results[1] / "DONE.json")
    kept = done["provenance"]
    assert kept["sources"][0]["sha256"] == sha256_of_file(campaign / "long.hspy")
    priors = campaign / "priors.yaml"
    assert kept["further_inputs"] == {str(priors): sha256_of_file(priors)}
    assert parse(kept["settings"]) == SETTINGS
    assert kept["settings"]["factorize"]["seed"] == 7
    assert {"mlatem", "python", "numpy", "numba", "scipy", "zarr"} <= set(kept["versions"])
    assert kept["sample_sheet"]["n_phases"] == 3
    assert done["outputs"] == {"phases.csv": sha256_of_file(results[1] / "phases.csv")}


def test_the_digest_tells_settings_apart(results, campaign):
    first, second = (read_json(folder / "DONE.json")["provenance"] for folder in results.values())
    assert first["settings_sha256"] == second["settings_sha256"]
    assert len(first["settings_sha256"]) == 64


def test_a_dataset_has_few_files(results):
    folder = results[1]
    assert {path.name for path in folder.iterdir()} == {
        *("spim.zarr", "calibration.json", "lowrank.zarr.zip", "factorization.zarr.zip"),
        *("rare.zarr.zip", "phases.csv", "maps.zarr.zip", "thumbnail.png", "report.html"),
        "DONE.json",
    }
    assert sum(path.is_file() for path in folder.rglob("*")) <= 60


def test_figures_are_files_where_they_are_wanted(results, tmp_path):
    shutil.copytree(results[1], tmp_path / "long")
    files = DatasetFiles.in_folder(tmp_path / "long")
    kept = read_json(tmp_path / "long" / "DONE.json")["provenance"]
    settings = parse(kept["settings"] | {"report": {"figure_files": True, "figure_dpi": 50}})
    report(
        files,
        page=tmp_path / "long" / "report.html",
        done=tmp_path / "long" / "DONE.json",
        row=DatasetRow(**kept["sample_sheet"]),
        settings=settings,
    )
    figures = {path.name for path in (tmp_path / "long" / "figures").iterdir()}
    assert {"phase_map.png", "sum_spectrum.png", "element_Fe.png"} <= figures
