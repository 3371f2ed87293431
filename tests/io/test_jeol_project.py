# SPDX-License-Identifier: GPL-3.0-or-later
"""JEOL projects: a map and its images, found through the project's file."""

import shutil

import numpy as np
import pytest

from mlatem.errors import ReadError
from mlatem.io.formats import jeol_project
from mlatem.io.formats.common import AxisOverrides
from mlatem.io.read import open_raw
from mlatem.settings import Convert

PROJECT = "rsciio/jeol/rawdata.ASW"
VIEW = "rsciio/jeol/Sample/00_View000/View000_0000{}"


def tree_of(*views):
    return {
        "FileType": "Analysis Station",
        "SampleInfo": {
            "0": {
                "ViewInfo": {
                    str(i): {
                        "Memo": f"view {i}",
                        "ViewData": {str(k): {"Filename": name} for k, name in enumerate(names)},
                    }
                    for i, names in enumerate(views)
                }
            }
        },
    }


def open_tree(tree, folder):
    path = folder / "a.asw"
    path.write_bytes(bytes(13))  # an empty tree
    return jeol_project.signals(path, lambda _: tree, lambda _: [], AxisOverrides(), Convert())


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "not a project of Analysis Station"),
        (tree_of([".\\v\\a.img"]), "0 EDS maps; expected one.*Name a project with a map"),
        (tree_of(["v\\a.pts"], ["v\\b.PTS"]), "2 EDS maps: v/a.pts, v/b.PTS.*a dataset of each"),
        (tree_of([".\\v\\a.img", ".\\v\\a.pts"]), "its file v/a.pts is missing"),
    ],
)
def test_projects_without_a_single_map_are_refused(tree, message, tmp_path):
    with pytest.raises(ReadError, match=message):
        open_tree(tree, tmp_path)


def test_real_project_is_the_map_with_its_image(test_data):
    signals = open_raw(test_data / PROJECT)
    assert signals.spectrum_images[0].shape == (512, 512, 4096)
    assert signals.spectrum_images[0].attrs["counts_per_stream"] == [308261]
    (survey,) = signals.surveys
    assert int(survey.sum(dtype=np.uint64)) == 137518
    np.testing.assert_allclose(survey["x"], signals.spectrum_images[0].x_nm)
    files = [source["file"] for source in signals.sources]
    assert files == ["rawdata.ASW", "View000_0000006.pts", "View000_0000000.img"]
    assert list(signals.original_metadata) == files


def test_real_project_without_its_folder(test_data, tmp_path):
    shutil.copy(test_data / PROJECT, tmp_path / "alone.asw")
    with pytest.raises(ReadError, match=r"alone\.asw.*View000_0000006\.pts is missing"):
        open_raw(tmp_path / "alone.asw")


def test_real_map_and_image_named_together(test_data):
    names = [test_data / VIEW.format(end) for end in ("006.pts", "000.img")]
    signals = open_raw(names)
    assert [survey.name for survey in signals.surveys] == ["IMG1"]
    assert len(signals.sources) == 2


def test_real_image_alone_is_no_map(test_data):
    with pytest.raises(ReadError, match="no spectrum image"):
        open_raw(test_data / VIEW.format("000.img"))
