# SPDX-License-Identifier: GPL-3.0-or-later
"""New files of a drop folder in the sample sheet: once each, when complete, whatever happens."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import mlatem
from mlatem.cli import app
from mlatem.errors import ConfigError
from mlatem.io.sources import sha256_of_file
from mlatem.sheet import DatasetRow, append_rows, read_sheet
from mlatem.steps.ingest import IngestBusyError, ingest

ROOT = Path(__file__).resolve().parents[2]

BUSY = """
import sys, time
from pathlib import Path
from mlatem.steps.ingest import _locked
with _locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def maps(tmp_path_factory) -> list[Path]:
    """Two tiny maps of different content."""
    folder = tmp_path_factory.mktemp("maps")
    text = (ROOT / "examples" / "specimens" / "small.yaml").read_text()
    specimen = yaml.safe_load(text) | {"n_rows": 8, "n_columns": 8, "n_channels": 256}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(specimen))
    for seed, name in enumerate(("one", "two")):
        mlatem.simulate(folder / "tiny.yaml", folder, name=name, seed=seed)
    return [folder / "one.hspy", folder / "two.hspy"]


@pytest.fixture
def campaign(tmp_path) -> Path:
    """A campaign with an empty drop folder in it."""
    (tmp_path / "drop").mkdir()
    (tmp_path / "config").mkdir()
    return tmp_path


def look(campaign: Path, **options):
    return ingest(campaign / "drop", campaign / "config" / "datasets.tsv", **options)


def put(source: Path, target: Path, *, marker: str = "") -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    if marker:
        target.with_name(target.name + marker).touch()
    return target


def rows(campaign: Path) -> dict[str, dict[str, str]]:
    return read_sheet(campaign / "config" / "datasets.tsv")


def test_a_file_with_a_marker_is_taken_at_once(campaign, maps):
    path = put(maps[0], campaign / "drop" / "night" / "area 1.hspy", marker=".ready")
    assert look(campaign).taken == {str(path): "area-1"}
    (row,) = rows(campaign).values()
    assert row["path"] == "drop/night/area 1.hspy"
    assert row["sha256"] == sha256_of_file(maps[0])
    assert row["sample_id"]
    assert "dataset" in row["guessed"].split(",")
    assert DatasetRow.from_strings(row).elements == ()


def test_a_second_look_does_nothing(campaign, maps):
    put(maps[0], campaign / "drop" / "a.hspy", marker=".done")
    look(campaign)
    text = (campaign / "config" / "datasets.tsv").read_bytes()
    report = look(campaign)
    assert not report.taken
    assert not report.waiting
    assert (campaign / "config" / "datasets.tsv").read_bytes() == text


def test_a_file_without_marker_has_to_stay_as_it_is(campaign, maps):
    path = put(maps[0], campaign / "drop" / "a.hspy")
    assert look(campaign).waiting == [str(path)]
    assert look(campaign).waiting == [str(path)]
    assert look(campaign, settle_s=0).taken == {str(path): "a"}


def test_a_file_that_grows_starts_to_wait_anew(campaign, maps):
    path = campaign / "drop" / "a.hspy"
    content = maps[0].read_bytes()
    for share in (0.3, 0.6, 1.0):
        path.write_bytes(content[: int(share * len(content))])
        # However short the wait: a file is never taken at the look that finds it changed.
        assert look(campaign, settle_s=1e-9).waiting == [str(path)]
    assert look(campaign, settle_s=1e-9).taken == {str(path): "a"}
    assert rows(campaign)["a"]["sha256"] == sha256_of_file(maps[0])


def test_with_markers_only_others_wait(campaign, maps):
    path = put(maps[0], campaign / "drop" / "a.hspy")
    look(campaign, settle_s=0, marker_only=True)
    assert look(campaign, settle_s=0, marker_only=True).waiting == [str(path)]


@pytest.mark.parametrize("name", [".a.hspy", "a.hspy.part", "~a.hspy", "a.hspy.filepart", "a.txt"])
def test_what_programs_leave_while_they_copy_is_no_file(campaign, maps, name):
    put(maps[0], campaign / "drop" / name, marker=".ready")
    report = look(campaign, settle_s=0)
    assert not (report.taken or report.waiting or report.refused)


def test_content_decides_what_is_new(campaign, maps):
    path = put(maps[0], campaign / "drop" / "a.hspy", marker=".ready")
    look(campaign)
    path.rename(campaign / "drop" / "renamed.hspy")
    put(maps[0], campaign / "drop" / "copy.hspy", marker=".ready")
    put(maps[1], campaign / "drop" / "deeper" / "a.hspy", marker=".ready")
    look(campaign, settle_s=0)
    look(campaign, settle_s=0)
    assert list(rows(campaign)) == ["a", "a-2"]
    assert rows(campaign)["a-2"]["sha256"] == sha256_of_file(maps[1])


def test_lost_memory_takes_nothing_twice(campaign, maps):
    put(maps[0], campaign / "drop" / "a.hspy", marker=".ready")
    look(campaign)
    (campaign / "config" / ".datasets.tsv.seen.json").write_text("{")
    assert not look(campaign).taken
    assert list(rows(campaign)) == ["a"]


def test_a_damaged_file_is_refused_once_and_taken_when_it_is_whole(campaign, maps):
    path = put(maps[0], campaign / "drop" / "a.hspy", marker=".ready")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    (reason,) = look(campaign).refused.values()
    assert "a.hspy" in reason
    assert not look(campaign).refused
    path.write_bytes(content)
    assert look(campaign).taken == {str(path): "a"}


def test_a_name_that_no_sheet_can_hold_is_refused(campaign, maps):
    put(maps[0], campaign / "drop" / "a;b.hspy", marker=".ready")
    (reason,) = look(campaign).refused.values()
    assert "rename the file" in reason


def test_the_sheet_of_the_user_stays_as_it_is(campaign, maps):
    sheet = campaign / "config" / "datasets.tsv"
    sheet.write_text("# mine\ndataset\tpath\tnote\nold\traw/old.emd\t a note \n# between\n")
    put(maps[0], campaign / "drop" / "a.hspy", marker=".ready")
    look(campaign)
    lines = sheet.read_text().splitlines()
    assert lines[0] == "# mine"
    assert lines[1] == "dataset\tpath\tnote\tsample_id\tsha256\tguessed"
    assert lines[2:4] == ["old\traw/old.emd\t a note ", "# between"]
    assert list(rows(campaign)) == ["old", "a"]


def test_files_outside_the_campaign_are_named_in_full(campaign, maps, tmp_path_factory):
    drop = tmp_path_factory.mktemp("instrument")
    path = put(maps[0], drop / "a.hspy", marker=".ready")
    ingest(drop, campaign / "config" / "datasets.tsv")
    assert rows(campaign)["a"]["path"] == str(path)


def test_one_ingest_at_a_time(campaign):
    lock = campaign / "config" / ".datasets.tsv.lock"
    command = [sys.executable, "-c", BUSY, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            with pytest.raises(IngestBusyError):
                look(campaign)
            command = ["ingest", str(campaign / "drop")]
            command += ["--into", str(campaign / "config" / "datasets.tsv")]
            assert CliRunner().invoke(app, command).exit_code == 75
        finally:
            other.kill()
    look(campaign)


def test_exit_codes_and_words_of_the_command(campaign, maps):
    command = ["ingest", str(campaign / "drop"), "--into", str(campaign / "config/datasets.tsv")]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.output) == (0, "")
    put(maps[0], campaign / "drop" / "a.hspy", marker=".ready")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0
    assert result.output.strip().endswith("a.hspy as a")
    put(maps[0], campaign / "drop" / "cut.hspy", marker=".ready").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert CliRunner().invoke(app, command).exit_code == 3
    result = CliRunner().invoke(app, ["ingest", str(campaign / "nowhere"), *command[2:]])
    assert result.exit_code == 1
    assert "is missing or no folder" in result.output


def test_a_sheet_without_columns_is_refused(campaign):
    (campaign / "config" / "datasets.tsv").write_text("a\tb\n")
    with pytest.raises(ConfigError, match="lacks the column 'dataset'"):
        look(campaign)
    with pytest.raises(ConfigError, match="lacks the column"):
        append_rows("", [], "sheet")
