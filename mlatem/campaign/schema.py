# SPDX-License-Identifier: GPL-3.0-or-later
"""Default configuration, sample sheet and JSON schemas, all generated from the typed settings."""

from __future__ import annotations

import json
from typing import Any

import yaml
from pydantic import BaseModel

from mlatem.campaign.profiles import generated_profiles
from mlatem.model.priors import Priors
from mlatem.settings import Settings
from mlatem.sheet import DatasetRow

_HEADER = """\
# Configuration of a campaign. Every key may be left out and then takes the default shown here.
# The values are read and checked by mlatem.settings; unknown keys are errors.
"""
_EDITOR = "# yaml-language-server: $schema=../workflow/schemas/config.schema.json\n"

#: Columns of the sample sheet that most campaigns use, in the order of the template.
SHEET_COLUMNS = ("dataset", "path", "elements", "n_phases", "thickness_nm", "density_g_cm3")


def config_yaml() -> str:
    """The default configuration as YAML with an explanation above every key."""
    return _HEADER + "\n".join(_section(Settings(), indent=0)) + "\n"


def _section(model: BaseModel, indent: int) -> list[str]:
    pad = " " * indent
    lines = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            about = (type(value).__doc__ or "").strip()
            lines += ["", f"{pad}# {about}", f"{pad}{name}:", *_section(value, indent + 2)]
        else:
            lines += [f"{pad}# {field.description}", f"{pad}{name}: {_scalar(value)}"]
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def sheet_tsv() -> str:
    """An empty sample sheet: what the columns mean, and their names."""
    fields = DatasetRow.model_fields
    about = [f"# {name}: {field.description}" for name, field in fields.items()]
    head = [
        "# One row per dataset, cells separated by tabs; any of these columns, in any order:",
        *about,
        "# Unknown columns are carried along as metadata.",
    ]
    return "\n".join(head) + "\n" + "\t".join(SHEET_COLUMNS) + "\n"


def config_schema() -> dict[str, Any]:
    """JSON schema of config/config.yaml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Settings.model_json_schema(),
    }


def datasets_schema() -> dict[str, Any]:
    """JSON schema of one row of config/datasets.tsv, whose cells are strings."""
    properties = {
        name: {"type": "string", "description": field.description}
        for name, field in DatasetRow.model_fields.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Row of the sample sheet",
        "type": "object",
        "properties": properties,
        "required": ["dataset", "path"],
        "additionalProperties": {"type": "string"},
    }


def priors_schema() -> dict[str, Any]:
    """JSON schema of a priors file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Priors.model_json_schema(mode="validation"),
    }


def generated_files() -> dict[str, str]:
    """Contents of the files in the repository that are generated, by path."""
    return {
        "config/config.yaml": _EDITOR + config_yaml(),
        "config/datasets.tsv": sheet_tsv(),
        "workflow/schemas/config.schema.json": _json(config_schema()),
        "workflow/schemas/datasets.schema.json": _json(datasets_schema()),
        "workflow/schemas/priors.schema.json": _json(priors_schema()),
        **generated_profiles(),
    }


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"
