# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's inclusions: a question that the counts leave open, and one prior that settles it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlatem
from mlatem.io.datasets import load_dataset
from mlatem.sheet import DatasetRow, read_sheet

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo"


@pytest.fixture(scope="module")
def rows():
    sheet = read_sheet(DEMO / "config" / "datasets.tsv")
    return {n: DatasetRow.from_strings(sheet[n]) for n in ("inclusions", "inclusions-known")}


@pytest.fixture(scope="module")
def answers(rows, tmp_path_factory):
    """Factorisation and at% by element of the garnet, phase 2, for each row."""
    folder = tmp_path_factory.mktemp("inclusions")
    mlatem.simulate(DEMO / "inclusions.yaml", folder, name="map")
    tree = mlatem.read(folder / "map.hspy")
    found = {}
    for name, row in rows.items():
        calibration = mlatem.calibrate(tree, row.elements, thickness_nm=row.thickness_nm)
        dictionary = mlatem.edxs_dictionary(tree, calibration)
        priors = DEMO / row.priors if row.priors else None
        result = mlatem.factorize(
            tree, dictionary, row.n_phases, calibration=calibration, priors=priors
        )
        table = mlatem.quantify(result, calibration=calibration).pivot("atomic_percent")
        found[name] = result, table.iloc[1]
    truth = load_dataset(folder / "map_truth.zarr")["atomic_percent"].to_pandas()
    return found, truth.loc["pyrope"]


def test_both_rows_are_the_same_map_but_for_what_is_known(rows):
    unknown, known = rows.values()
    assert unknown.path == known.path
    assert unknown.priors is None
    assert known.priors


def test_without_priors_the_counts_leave_calcium_open(answers):
    result, _ = answers[0]["inclusions"]
    assert result.attrs["geometry_class"] == "WEAK"
    assert json.loads(result.attrs["ambiguity"])["question"].startswith("is Ca present in phase 2?")


def test_one_statement_settles_it(answers):
    found, truth = answers
    result, percent = found["inclusions-known"]
    assert result.attrs["geometry_class"] in ("PURE", "CORNER")
    assert json.loads(result.attrs["ambiguity"])["question"] == ""
    assert percent["Ca"] == 0
    assert (percent - truth[percent.index]).abs().max() <= 1.0
