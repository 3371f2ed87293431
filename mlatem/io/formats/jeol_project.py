# SPDX-License-Identifier: GPL-3.0-or-later
"""JEOL Analysis Station projects (.asw): a map, and the images of the same view, as files beside.

Also .img files by themselves: images without a map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from mlatem.errors import ReadError
from mlatem.io.formats import jeol
from mlatem.io.formats.common import (
    AxisOverrides,
    Signal,
    named_trees,
    ordered_surveys,
    survey_image,
    title_of,
)
from mlatem.io.formats.jeol_file import load_pts
from mlatem.io.formats.jeol_tree import TREE_OFFSET, Parser, check_image, read_tree
from mlatem.io.signals import RawSignals
from mlatem.settings import Convert

_FILE_TYPE = "Analysis Station"


@dataclass(frozen=True)
class View:
    """Files of one view of a project."""

    name: str
    files: tuple[Path, ...]

    def with_suffix(self, suffix: str) -> list[Path]:
        """Its files of one kind."""
        return [file for file in self.files if file.suffix.lower() == suffix]


def signals(
    path: Path,
    parse: Parser,
    read_images: Callable[[str], Sequence[Signal]],
    overrides: AxisOverrides,
    settings: Convert,
) -> RawSignals:
    """Normalise a project: its map, and the images of the map's view.

    Element maps (.map) were derived from the map and are left out.

    Parameters
    ----------
    path : Path
    parse : callable
        See `mlatem.io.formats.jeol_tree.Parser`.
    read_images : callable
        The vendor reader of .img files.
    overrides : AxisOverrides
    settings : settings.Convert

    Raises
    ------
    ReadError
        If the project does not have exactly one map, or a file of it is missing.
    """
    with path.open("rb") as stream:
        stream.seek(TREE_OFFSET)
        tree = read_tree(path, stream, parse)
    if tree.get("FileType") != _FILE_TYPE:
        raise ReadError(
            str(path),
            f"not a project of {_FILE_TYPE} but {str(tree.get('FileType'))!r}",
            "Name the .pts file of the map itself",
        )
    view, map_file = _only_map(path, views_of(path, tree))
    image_files = view.with_suffix(".img")
    for file in (map_file, *image_files):
        if not file.is_file():
            raise ReadError(
                str(path),
                f"its file {file.relative_to(path.parent)} is missing",
                "Copy the whole folder of the project, or name the .pts file itself",
            )
    for file in image_files:
        check_image(file, parse)
    found = jeol.signals(map_file, load_pts(map_file, parse), overrides, settings)
    images = [image for file in image_files for image in read_images(str(file))]
    surveys = [*(_survey(image) for image in images), *found.surveys]
    trees = [(path.name, tree), *found.original_metadata.items()]
    trees += [(_name_of(i), i["original_metadata"]) for i in images]
    return replace(
        found,
        surveys=ordered_surveys(surveys),
        original_metadata=named_trees(trees),
        path=str(path),
        files_beside=(map_file, *image_files),
    )


def image_signals(path: Path, images: Sequence[Signal]) -> RawSignals:
    """Images of an .img file, to go with a map in a file of its own."""
    return RawSignals(
        spectrum_images=(),
        surveys=ordered_surveys([_survey(image) for image in images]),
        original_metadata=named_trees([(_name_of(i), i["original_metadata"]) for i in images]),
        path=str(path),
    )


def views_of(path: Path, tree: Mapping[str, Any]) -> list[View]:
    """The views of a project with the files that they name, whether these exist or not."""
    views = []
    for sample in tree.get("SampleInfo", {}).values():
        for view in sample.get("ViewInfo", {}).values():
            names = [str(entry["Filename"]) for entry in view.get("ViewData", {}).values()]
            files = tuple(path.parent.joinpath(*PureWindowsPath(name).parts) for name in names)
            views.append(View(str(view.get("Memo", "")), files))
    return views


def _only_map(path: Path, views: Sequence[View]) -> tuple[View, Path]:
    maps = [(view, file) for view in views for file in view.with_suffix(".pts")]
    if len(maps) == 1:
        return maps[0]
    names = ", ".join(str(file.relative_to(path.parent)) for _, file in maps)
    raise ReadError(
        str(path),
        f"its project has {len(maps)} EDS maps{': ' + names if names else ''}; expected one",
        "Make a dataset of each .pts file" if maps else "Name a project with a map (.pts)",
    )


def _survey(image: Signal) -> Any:
    return survey_image({**image, "data": np.asarray(image["data"])})


def _name_of(image: Signal) -> str:
    general = image["metadata"].get("General", {})
    return str(general.get("original_filename") or title_of(image))
