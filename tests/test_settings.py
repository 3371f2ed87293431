# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from mlatem import settings
from mlatem.errors import ConfigError
from mlatem.settings import Settings, parse


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and all models within it."""
    found = {model}
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= models(part)
    return found


SECTIONS = sorted(models(Settings), key=lambda model: model.__name__)


def test_defaults_are_valid_and_survive_json():
    default = Settings()
    assert Settings.model_validate_json(default.model_dump_json()) == default
    assert Settings.model_validate(json.loads(default.model_dump_json())) == default


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_explained(section: type[BaseModel]):
    assert section.__doc__
    for name, field in section.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        if is_section:
            continue
        assert field.description, f"{section.__name__}.{name} has no description"
        assert field.description.endswith("."), f"{section.__name__}.{name}"


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().factorize.seed = 3  # type: ignore[misc]


def test_parse_changes_what_is_given_and_nothing_else():
    parsed = parse({"factorize": {"seed": 7}, "edxs": {"detector": {"window": "polymer"}}})
    assert parsed.factorize.seed == 7
    assert parsed.edxs.detector.window == "polymer"
    assert parsed.model_copy(update={"factorize": settings.Factorize()}).edxs.n_background == 9
    assert parsed.denoise == settings.Denoise()


def test_empty_configuration_and_empty_sections_mean_defaults():
    assert parse({}) == Settings()
    assert parse({"edxs": None, "report": None}) == Settings()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"factorise": {}}, "unknown key factorise: did you mean factorize?"),
        ({"edxs": {"sytem_elements": ["Cu"]}}, "edxs.sytem_elements: did you mean system_elements"),
        ({"edxs": {"detector": {"fanoo": 1}}}, "edxs.detector.fanoo: did you mean fano?"),
        ({"convert": {"zzz": 1}}, "unknown key convert.zzz: known: memory_limit_gb, hash_inputs"),
        ({"edxs": {"energy_min_kev": 5, "energy_max_kev": 2}}, "must lie above energy_min_kev"),
        ({"edxs": {"system_elements": ["Cu", "Zz"]}}, "edxs.system_elements: unknown element 'Zz'"),
        ({"edxs": {"system_elements": ["Cu", "Cu"]}}, "Cu is listed twice"),
        ({"edxs": {"detector": {"window": "glass"}}}, "edxs.detector.window: "),
        ({"edxs": {"detector": {"noise_ev": math.nan}}}, "edxs.detector.noise_ev: "),
        ({"convert": {"memory_limit_gb": math.inf}}, "convert.memory_limit_gb: "),
        ({"convert": {"memory_limit_gb": "much"}}, "convert.memory_limit_gb: "),
        ({"convert": 3}, "convert: "),
        ({"factorize": {"n_phases": 0}}, "factorize.n_phases: "),
        ({"factorize": {"n_phases": "many"}}, "factorize.n_phases: "),
        ({"factorize": {"seed": 1.5}}, "factorize.seed: "),
        ({"report: x": {}}, "unknown key 'report: x'"),
        ({"workflow": {"jobs": "tile"}}, "workflow.jobs: "),
        ({"workflow": {"jobs": "dataset"}, "factorize": {"blocks": 2}}, "factorize.blocks is 2"),
    ],
)
def test_bad_configuration(config: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        parse(config, source="my.yaml")
    text = str(caught.value)
    assert text.startswith("my.yaml: ")
    assert message in text
    assert "Value error" not in text


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse({"factorise": {}, "report": {"figure_dpi": 3}})
    assert "factorise" in str(caught.value)
    assert "report.figure_dpi" in str(caught.value)
