# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx configuration; the tables of settings and of sample sheet columns come from the code."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

from pydantic import BaseModel

from mlatem.physics.factors import factor_sigma
from mlatem.settings import Settings
from mlatem.sheet import DatasetRow

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import k_factors

_PROJECT = tomllib.loads(
    (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
)["project"]

project = "MLATEM"
author = "The MLATEM developers"
release = version = _PROJECT["version"]

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"MLATEM {release}"

autodoc_default_options = {"members": True}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
autosummary_generate = True
default_role = "code"


def _settings_rows(model: BaseModel, prefix: str = "") -> list[str]:
    rows = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            rows += _settings_rows(value, f"{prefix}{name}.")
        else:
            rows.append(f"| `{prefix}{name}` | `{json.dumps(value)}` | {field.description} |")
    return rows


def _table(head: str, rows: list[str]) -> str:
    rule = "|" + "---|" * head.count("|", 1)
    return "\n".join([head, rule, *rows])


#: Families of lines and, for each kind of element, one that stands for it.
_FACTORS = (
    ("K", "from Ca", "Fe"),
    ("K", "Na to K", "Si"),
    ("K", "lighter than Na", "O"),
    ("L", "Sr to Ag", "Ag"),
    ("L", "up to Ga", "Cu"),
    ("L", "others", "Au"),
    ("M", "all", "Au"),
)

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "substitution"]
myst_heading_anchors = 3
myst_substitutions = {
    "settings_table": _table("| Key | Default | Meaning |", _settings_rows(Settings())),
    "factor_table": _table(
        "| Family | Elements | Standard deviation |",
        [
            f"| {family} | {elements} | {factor_sigma(example, family):.0%} |"
            for family, elements, example in _FACTORS
        ],
    ),
    "k_factor_table": _table(k_factors.HEAD, k_factors.table()),
    "sheet_table": _table(
        "| Column | Meaning |",
        [f"| `{name}` | {field.description} |" for name, field in DatasetRow.model_fields.items()],
    ),
}
