# SPDX-License-Identifier: GPL-3.0-or-later
"""Several datasets in one job: each fails alone, and what is finished is left as it is."""

from __future__ import annotations

import os

import pytest

from mlatem.errors import InputError
from mlatem.io.atomic import read_json, write_json
from mlatem.io.datasets import json_safe
from mlatem.settings import Denoise, Settings
from mlatem.steps import parts

SETTINGS = Settings()


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """Three datasets, and an analysis that notes its calls and writes DONE.json alone."""
    monkeypatch.chdir(tmp_path)
    called = []

    def analyse(raw, folder, *, row, settings, **_):
        called.append(row.dataset)
        (content,) = {(tmp_path / path).read_text() for path in raw}
        if content == "damaged":
            raise InputError("raw/b.emd: damaged")
        if content == "strange":
            raise RuntimeError("a fault of the program")
        provenance = {
            "sample_sheet": json_safe(row.model_dump(mode="json", exclude_none=True)),
            "settings": json_safe(settings.model_dump(mode="json")),
            "sources": [{"size_bytes": len(content)}],
        }
        write_json(folder / "DONE.json", {"provenance": provenance})

    monkeypatch.setattr(parts, "analyse", analyse)
    (tmp_path / "raw").mkdir()
    rows = {}
    for name in "abc":
        (tmp_path / "raw" / f"{name}.emd").write_text("counts")
        os.utime(tmp_path / "raw" / f"{name}.emd", (100, 100))
        rows[name] = {"dataset": name, "path": f"raw/{name}.emd", "thickness_nm": "40"}

    def run(settings=SETTINGS):
        called.clear()
        try:
            parts.analyse_part(
                rows, settings=settings, results="results", logs="logs", done="part.json"
            )
        except parts.PartError as error:
            return list(called), str(error)
        return list(called), ""

    run.rows, run.folder = rows, tmp_path
    return run


def test_every_dataset_is_analysed_once(campaign):
    assert campaign() == (["a", "b", "c"], "")
    assert read_json(campaign.folder / "part.json") == {"datasets": ["a", "b", "c"]}
    assert campaign() == ([], "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [("damaged", "ERROR root: raw/b.emd: damaged"), ("strange", "a fault of the program")],
)
def test_a_dataset_fails_alone_and_only_it_is_tried_again(campaign, content, reason):
    raw = campaign.folder / "raw" / "b.emd"
    raw.write_text(content)
    called, message = campaign()
    assert called == ["a", "b", "c"]
    assert message.startswith("1 of 3 datasets failed: b")
    assert reason in (campaign.folder / "logs" / "b" / "analyse.log").read_text()
    assert not (campaign.folder / "part.json").exists()
    assert not (campaign.folder / "results" / "b" / "DONE.json").exists()
    raw.write_text("counts")
    assert campaign() == (["b"], "")
    assert (campaign.folder / "part.json").exists()


def test_what_changed_is_redone_and_nothing_else(campaign):
    campaign()
    done = campaign.folder / "results" / "b" / "DONE.json"
    campaign.rows["a"]["thickness_nm"] = "50"
    assert campaign() == (["a"], "")
    campaign.rows["a"]["thickness_nm"] = "50.0"
    assert campaign() == ([], "")
    os.utime(campaign.folder / "raw" / "b.emd", (done.stat().st_mtime + 10,) * 2)
    assert campaign() == (["b"], "")
    (campaign.folder / "raw" / "c.emd").write_text("other counts, and older")
    os.utime(campaign.folder / "raw" / "c.emd", (50, 50))
    os.utime(campaign.folder / "raw" / "b.emd", (50, 50))
    assert campaign() == (["c"], "")
    assert campaign(Settings(denoise=Denoise(rank=2))) == (["a", "b", "c"], "")


def test_a_new_mask_and_a_failure_since_redo_a_dataset(campaign):
    mask = campaign.folder / "mask.npy"
    mask.write_text("")
    os.utime(mask, (100, 100))
    campaign.rows["a"]["mask"] = "mask.npy"
    campaign()
    assert campaign() == ([], "")
    mask.write_text("other")
    os.utime(mask, (2e9, 2e9))
    assert campaign() == (["a"], "")
    log = campaign.folder / "logs" / "b" / "analyse.log"
    log.write_text("2026-01-01 00:00:00,000 ERROR root: the disk is full\n")
    os.utime(log, (2e9, 2e9))
    assert "b" in campaign()[0]


def test_a_row_that_cannot_be_used_fails_alone(campaign):
    campaign.rows["b"]["thickness_nm"] = "thick"
    called, message = campaign()
    assert called == ["a", "c"]
    assert message.startswith("1 of 3 datasets failed: b")
