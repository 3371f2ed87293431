# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated configuration and schemas."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from mlatem import settings
from mlatem.campaign import schema

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", list(schema.generated_files()))
def test_files_in_the_repository_are_up_to_date(name):
    assert (ROOT / name).read_text(encoding="utf-8") == schema.generated_files()[name], (
        f"{name} differs from the settings: run `mlatem schema`"
    )


def test_the_default_configuration_holds_the_defaults():
    assert settings.parse(yaml.safe_load(schema.config_yaml())) == settings.Settings()


def test_configurations_satisfy_the_schema():
    for path in ("config/config.yaml", "examples/demo/config/config.yaml"):
        config = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        jsonschema.validate(config, schema.config_schema())


def test_priors_of_the_documentation_satisfy_the_schema():
    page = (ROOT / "docs" / "how-to" / "priors.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        jsonschema.validate(yaml.safe_load(example), schema.priors_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"phases": {"a": {"abscent": ["Ca"]}}}, schema.priors_schema())


def test_the_schema_refuses_what_the_settings_refuse():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"factorize": {"n_phase": 3}}, schema.config_schema())


def test_rows_of_the_demo_satisfy_the_schema():
    text = (ROOT / "examples/demo/config/datasets.tsv").read_text(encoding="utf-8")
    lines = io.StringIO("\n".join(x for x in text.splitlines() if not x.startswith("#")))
    rows = list(csv.DictReader(lines, delimiter="\t"))
    assert rows
    for row in rows:
        jsonschema.validate(row, schema.datasets_schema())
