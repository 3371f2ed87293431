# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from mlatem.errors import InputError
from mlatem.logs import to_file


def errors_of(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if " ERROR " in line]


def test_messages_go_to_the_file_in_a_new_folder(tmp_path: Path):
    path = tmp_path / "logs" / "a" / "convert.log"
    with to_file(path):
        logging.getLogger("mlatem.io").info("read 3 tiles of Å and µm")
    text = path.read_text(encoding="utf-8")
    assert "INFO mlatem.io: read 3 tiles of Å and µm" in text
    assert not errors_of(path)


def test_a_known_error_ends_the_job_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "job.log"
    with pytest.raises(SystemExit) as ended, to_file(path):
        raise InputError("map.emd: no counts.\nGive another file")
    assert ended.value.code == 1
    expected = "map.emd: no counts. Give another file"
    assert capsys.readouterr().err == f"error: {expected}\n"
    last = errors_of(path)[-1]
    assert last.endswith(f"ERROR root: {expected}")
    assert path.read_text(encoding="utf-8").splitlines()[-1] == last
    assert "Traceback" not in path.read_text(encoding="utf-8")


def test_an_unknown_error_keeps_its_traceback_and_its_type(tmp_path: Path):
    path = tmp_path / "job.log"
    with pytest.raises(ZeroDivisionError), to_file(path):
        _ = 1 / 0
    text = path.read_text(encoding="utf-8")
    assert "unexpected ZeroDivisionError: division by zero" in text
    assert "Traceback" in text


def test_every_job_begins_a_new_log(tmp_path: Path):
    path = tmp_path / "job.log"
    for word in ("first", "second"):
        with to_file(path):
            logging.getLogger("mlatem").info(word)
    assert "first" not in path.read_text(encoding="utf-8")


def test_logging_is_left_as_it_was(tmp_path: Path):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with to_file(tmp_path / "job.log"):
        pass
    assert (root.level, list(root.handlers)) == before


def test_time_and_memory_of_a_finished_job_are_logged(tmp_path):
    with to_file(tmp_path / "job.log"):
        pass
    assert re.search(
        r"job finished in \d+\.\d s, \d+\.\d s of processors, peak \d+ MB",
        (tmp_path / "job.log").read_text(),
    )
