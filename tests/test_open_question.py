# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's inclusions: two answers that the counts leave open, and one ratio that settles it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlatem
from mlatem.io.datasets import load_dataset
from mlatem.model import Factorization
from mlatem.reporting.ambiguity import ambiguity_section
from mlatem.sheet import DatasetRow, read_sheet

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo"
GARNET = 1
#: Two answers are far apart from here on, degrees.
APART_DEG = 10.0


@pytest.fixture(scope="module")
def rows():
    sheet = read_sheet(DEMO / "config" / "datasets.tsv")
    return {n: DatasetRow.from_strings(sheet[n]) for n in ("inclusions", "inclusions-known")}


@pytest.fixture(scope="module")
def image(rows, tmp_path_factory):
    """The map, its calibration and dictionary, and the true at%."""
    folder, row = tmp_path_factory.mktemp("inclusions"), rows["inclusions"]
    mlatem.simulate(DEMO / "inclusions.yaml", folder, name="map")
    tree = mlatem.read(folder / "map.hspy")
    calibration = mlatem.calibrate(tree, row.elements, thickness_nm=row.thickness_nm)
    truth = load_dataset(folder / "map_truth.zarr")["atomic_percent"].to_pandas()
    return tree, calibration, mlatem.edxs_dictionary(tree, calibration), truth.loc["garnet"]


@pytest.fixture(scope="module")
def solve(rows, image):
    """The factorisation of a row of the sheet."""
    tree, calibration, dictionary, _ = image

    def solve(name):
        row = rows[name]
        priors = DEMO / row.priors if row.priors else None
        return mlatem.factorize(
            tree, dictionary, row.n_phases, calibration=calibration, priors=priors
        )

    return solve


@pytest.fixture(scope="module")
def answers(solve, rows):
    return {name: solve(name) for name in rows}


def garnet(table, value="atomic_percent"):
    return table.pivot(value).iloc[GARNET]


def test_both_rows_are_the_same_map_but_for_what_is_known(rows):
    unknown, known = rows.values()
    assert unknown.path == known.path
    assert unknown.priors is None
    assert known.priors


def test_without_priors_the_counts_leave_two_answers_open(answers, image):
    _, calibration, _, truth = image
    result = answers["inclusions"]
    assert result.attrs["geometry_class"] == "OPEN"
    opened = json.loads(result.attrs["ambiguity"])
    assert opened["question"].startswith("how much Si is in phase 2?")
    first = garnet(mlatem.quantify(result, calibration=calibration))
    other = garnet(mlatem.quantify(mlatem.other_answer(result), calibration=calibration))
    expected = truth[first.index]
    # Neither is right, and the truth lies between them.
    assert expected["Si"] - first["Si"] > 3 and other["Si"] - expected["Si"] > 2
    assert first["Mg"] - expected["Mg"] > 3 and expected["Mg"] - other["Mg"] > 1
    section = ambiguity_section(Factorization.from_dataset(result))
    assert float(section.answers[GARNET].angle) > APART_DEG
    assert section.is_open and section.differences is not None


def test_both_answers_explain_every_pixel_with_maps_of_their_own(answers):
    result = answers["inclusions"]
    share = {
        name: float((result[name][..., GARNET].sum() / result[name].sum()).values)
        for name in ("abundance", "alternative_abundance")
    }
    # Diluted garnet is needed in larger amounts.
    assert share["alternative_abundance"] > 2 * share["abundance"]
    deviance = result["deviance"].values.sum(), result["alternative_deviance"].values.sum()
    assert deviance[1] == pytest.approx(deviance[0], rel=1e-3)


def test_one_ratio_settles_it(answers, image):
    _, calibration, _, truth = image
    result = answers["inclusions-known"]
    assert result.attrs["geometry_class"] in ("PURE", "CORNER")
    assert json.loads(result.attrs["ambiguity"])["question"] == ""
    assert "alternative_abundance" not in result
    table = mlatem.quantify(result, calibration=calibration)
    percent = garnet(table)
    expected = truth[percent.index]
    assert (percent - expected).abs().max() <= 0.5
    low, high = (garnet(table, f"atomic_percent_{end}") for end in ("low", "high"))
    assert ((low <= expected) & (expected <= high)).all()
    # What was 10 at% of silicon wide is known to less than one.
    assert high["Si"] - low["Si"] < 1.0
    details = json.loads(result.attrs["details"])
    verdict = next(v for v in details["verdicts"] if v["name"] == "prior of garnet")
    assert verdict["status"] == "good"
