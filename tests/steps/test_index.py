# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a campaign, from what jobs left behind."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from mlatem.io.atomic import read_json, write_json
from mlatem.steps.index import index, refresh

DONE = {"n_phases": 2, "elements": ["O", "Ti"], "total_counts": 10.0, "verdicts": []}
ROWS = {"a": {"dataset": "a", "path": "raw/a.emd"}}
GOOD_LOG = "2026-01-01 00:00:00,000 INFO root: job finished in 1.0 s, peak 200 MB\n"
BAD_LOG = "2026-01-01 00:00:00,000 ERROR root: raw/a.emd: truncated. Copy it again\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results" / "a").mkdir(parents=True)
    (tmp_path / "logs" / "a").mkdir(parents=True)
    return tmp_path


def finish(folder, time):
    write_json(folder / "results/a/DONE.json", DONE)
    (folder / "results/a/thumbnail.png").write_bytes(b"png")
    os.utime(folder / "results/a/DONE.json", (time, time))


def log(folder, name, text, time):
    path = folder / "logs/a" / f"{name}.log"
    path.write_text(text)
    os.utime(path, (time, time))


def status_and_message(folder):
    index(ROWS, results=folder / "results", logs=folder / "logs")
    row = pd.read_csv(folder / "results/campaign.csv", keep_default_na=False).iloc[0]
    return row["status"], row["message"]


def test_a_finished_dataset(folder):
    log(folder, "convert", GOOD_LOG, 100)
    finish(folder, 200)
    assert status_and_message(folder) == ("finished", "")
    assert read_json(folder / "results/DONE.json")["datasets"] == ["a"]


def test_the_error_of_a_failed_job_is_shown_with_its_step(folder):
    log(folder, "convert", GOOD_LOG + BAD_LOG, 100)
    status, message = status_and_message(folder)
    assert status == "failed"
    assert message == "convert: raw/a.emd: truncated. Copy it again"
    assert not (folder / "results/DONE.json").exists()


def test_a_killed_job_is_named_with_its_raw_file(folder):
    log(folder, "convert", GOOD_LOG, 100)
    log(folder, "calibrate", "", 110)
    status, message = status_and_message(folder)
    assert status == "failed"
    assert message.startswith("calibrate: stopped without a message")
    assert "raw/a.emd" in message
    assert "calibrate.log" in message


def test_a_failure_after_an_older_success_counts(folder):
    finish(folder, 100)
    log(folder, "quantify", BAD_LOG, 200)
    assert status_and_message(folder)[0] == "failed"


def test_an_error_mended_since_does_not_count(folder):
    log(folder, "quantify", BAD_LOG, 100)
    finish(folder, 200)
    assert status_and_message(folder)[0] == "finished"


def test_a_dataset_that_was_never_reached(folder):
    status, message = status_and_message(folder)
    assert status == "failed"
    assert "not started: raw/a.emd" in message


@pytest.fixture
def running(folder):
    """A campaign of three datasets, of which one finished and one works."""
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text("report:\n  title: Night shift\n")
    rows = "".join(f"{name}\traw/{name}.emd\n" for name in "abc")
    (folder / "config" / "datasets.tsv").write_text("dataset\tpath\n" + rows)
    log(folder, "report", GOOD_LOG, 100)
    finish(folder, 200)
    (folder / "logs" / "b").mkdir()
    (folder / "logs" / "b" / "convert.log").write_text("INFO root: at work\n")
    return folder


def test_the_page_of_a_running_campaign_shows_what_finished(running):
    assert refresh(running)
    page = (running / "results" / "index.html").read_text()
    assert "Night shift: 1 of 3 datasets so far" in page
    assert list(pd.read_csv(running / "results" / "campaign.csv")["dataset"]) == ["a"]
    assert not (running / "results" / "DONE.json").exists()


def test_a_fresh_page_is_left_alone(running):
    assert refresh(running)
    assert not refresh(running)
    assert refresh(running, min_age_s=0)


def test_a_page_that_is_not_due_is_not_looked_into(running):
    assert refresh(running)
    (running / "config" / "datasets.tsv").unlink()
    assert not refresh(running)
    due_s = (running / "results" / ".index.lock").stat().st_mtime
    assert due_s > (running / "results" / "index.html").stat().st_mtime + 50


def test_the_time_of_a_dataset_is_that_of_its_jobs(folder):
    log(folder, "convert", GOOD_LOG, 100)
    log(folder, "report", GOOD_LOG.replace("1.0 s", "2.5 s"), 110)
    finish(folder, 200)
    index(ROWS, results=folder / "results", logs=folder / "logs")
    assert pd.read_csv(folder / "results/campaign.csv")["seconds"].iloc[0] == 3.5


def test_a_finished_campaign_keeps_its_page(running):
    write_json(running / "results" / "DONE.json", {})
    assert not refresh(running, min_age_s=0)


def test_a_page_that_cannot_be_written_fails_no_dataset(tmp_path, caplog):
    assert not refresh(tmp_path)
