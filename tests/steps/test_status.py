# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a campaign, while it runs and after."""

from __future__ import annotations

import json
import os
import time

import pytest
from typer.testing import CliRunner

from mlatem.campaign.claim import RECORD, claim
from mlatem.cli import app
from mlatem.io.atomic import write_json
from mlatem.steps import status as step

GOOD_LOG = "2026-01-01 00:00:00,000 INFO root: job finished in 1.0 s, peak 200 MB\n"
BAD_LOG = "2026-01-01 00:00:00,000 ERROR root: raw/b.emd: truncated. Copy it again\n"
OPEN_LOG = "2026-01-01 00:00:00,000 INFO root: reading\n"


@pytest.fixture
def folder(tmp_path):
    """Of four datasets: done, failed, unfinished, and untouched."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("{}\n")
    rows = [f"{name}\traw/{name}.emd\n" for name in "abcd"]
    (tmp_path / "config" / "datasets.tsv").write_text("dataset\tpath\n" + "".join(rows))
    for name, text in {"a": GOOD_LOG, "b": BAD_LOG, "c": OPEN_LOG}.items():
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "convert.log").write_text(text)
    write_json(tmp_path / "results" / "a" / "DONE.json", {})
    os.utime(tmp_path / "logs" / "a" / "convert.log", (1e9, 1e9))
    return tmp_path


@pytest.fixture
def running(folder, monkeypatch):
    """The same while another process runs it."""
    claim(folder / "results", folder).release()
    monkeypatch.setattr(step, "is_running", lambda results: True)
    return folder


def states(found: step.Status) -> dict[str, str]:
    return {name: outcome.state for name, outcome in found.outcomes.items()}


def test_after_a_run_what_has_no_end_was_stopped(folder):
    found = step.status(folder)
    assert states(found) == {"a": "done", "b": "failed", "c": "failed", "d": "waiting"}
    assert found.outcomes["b"].message == "convert: raw/b.emd: truncated. Copy it again"
    assert "stopped without a message" in found.outcomes["c"].message
    assert found.remaining_s is None
    assert found.lines()[0] == "4 datasets: 1 done, 2 failed, 0 running, 1 waiting"


def test_during_a_run_it_is_at_work(running):
    found = step.status(running)
    assert states(found) == {"a": "done", "b": "failed", "c": "running", "d": "waiting"}
    assert found.outcomes["c"].message == "convert"


def test_an_empty_log_is_of_a_job_that_waits(running):
    for name in ("calibrate", "denoise"):
        (running / "logs" / "d").mkdir(exist_ok=True)
        (running / "logs" / "d" / f"{name}.log").write_text("")
    found = step.status(running).outcomes["d"]
    assert (found.state, found.message) == ("waiting", "submitted")


def test_the_remaining_time_follows_the_pace_of_this_run(running):
    record = json.loads((running / "results" / RECORD).read_text())
    began = time.time() - 600
    record["since"] = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(began))
    write_json(running / "results" / RECORD, record)
    # Two of four ended in ten minutes, so two more take as long.
    assert step.status(running).remaining_s == pytest.approx(600, abs=60)
    os.utime(running / "results" / "a" / "DONE.json", (1e9 + 1, 1e9 + 1))
    os.utime(running / "logs" / "b" / "convert.log", (1e9, 1e9))
    assert step.status(running).remaining_s is None


def test_an_unreadable_record_leaves_the_time_open(running):
    (running / "results" / RECORD).write_text("{")
    assert step.status(running).remaining_s is None


def test_many_failures_are_cut_short(folder):
    lines = step.status(folder).lines(most=1)
    assert sum(line.startswith("failed") for line in lines) == 2
    assert "and 1 more" in lines[-1]


def test_the_command(folder):
    result = CliRunner().invoke(app, ["status", str(folder)])
    assert result.exit_code == 0
    assert "failed  b: convert: raw/b.emd: truncated" in result.output
    result = CliRunner().invoke(app, ["status", str(folder), "--json"])
    assert json.loads(result.output)["counts"] == {
        "done": 1,
        "failed": 2,
        "running": 0,
        "waiting": 1,
    }


def test_a_folder_that_is_no_campaign(tmp_path):
    result = CliRunner().invoke(app, ["status", str(tmp_path)])
    assert result.exit_code == 1
    assert "start a campaign with" in result.output
