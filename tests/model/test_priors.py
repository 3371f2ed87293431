# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlatem.errors import ConfigError
from mlatem.model.prior_conflicts import check_statements, in_words, violated
from mlatem.model.priors import PhasePrior, parse_priors

ELEMENTS = ("O", "Ca", "Ti", "Fe")


def phase(**content):
    return parse_priors({"phases": {"grain": content}}).phases["grain"]


def test_a_bare_number_is_a_value_and_a_single_element_a_list():
    prior = phase(absent="Ca", composition={"O": 60}, ratios={"Ti/Fe": 2})
    assert prior.absent == ("Ca",)
    assert prior.composition["O"].value == 60 and prior.composition["O"].sigma is None
    assert prior.ratios["Ti/Fe"].value == 2
    assert prior.elements == ("Ca", "O", "Ti", "Fe")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"abscent": ["Ca"]}, "did you mean absent"),
        ({"absent": ["Xx"]}, "unknown element 'Xx'"),
        ({"composition": {"Xx": 3}}, "unknown element 'Xx'"),
        ({"composition": {"O": 130}}, "less than or equal to 100"),
        ({"composition": {"O": {"sigma": 1}}}, "give a value"),
        ({"composition": {"O": {"min": 1, "sigma": 1}}}, "sigma is that of a value"),
        ({"composition": {"O": {"min": 30, "max": 20}}}, "min (30) lies above max (20)"),
        ({"composition": {"O": {"value": 30, "max": 20}}}, "value (30) lies above max (20)"),
        ({"composition": {"O": {"value": 10, "min": 20}}}, "value (10) lies below min (20)"),
        ({"ratios": {"Ti": 1}}, "expected two elements"),
        ({"ratios": {"Ti/Xx": 1}}, "unknown element 'Xx'"),
        ({"ratios": {"Ti/Ca": 0}}, "greater than 0"),
        ({"spectrum": {}}, "gives nothing"),
        ({"spectrum": {"counts": [1.0], "file": "a.csv"}}, "gives counts and file"),
        ({"spectrum": {"counts": [0.0, 0.0]}}, "all zero"),
        ({"spectrum": {"counts": [1.0], "energy_kev": [1.0, 2.0]}}, "2 channels"),
        ({"regions": {"only_in": "rim"}}, "names region 'rim', but `regions` describes none"),
        ({"regions": {"not_in": [{"y": [4, 2], "x": [0, 3]}]}}, "from 4 to 2"),
    ],
)
def test_what_cannot_be_is_named(content, words):
    with pytest.raises(ConfigError, match=r"grain|phases") as error:
        phase(**content)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("content", "both"),
    [
        ({"absent": ["Ca"], "present": ["Ca"]}, ("absent Ca", "present Ca")),
        ({"absent": ["Ca"], "composition": {"Ca": 10}}, ("absent Ca", "composition Ca = 10 at%")),
        ({"absent": ["Ti"], "ratios": {"Ca/Ti": 1}}, ("absent Ti", "ratio Ca/Ti = 1")),
        ({"present": ["Ca"], "composition": {"Ca": {"max": 0}}}, ("present Ca", "at most 0 at%")),
        ({"composition": {"Ca": 60, "Ti": 50}}, ("Ca = 60 at%", "Ti = 50 at%", "100 at%")),
        (
            {"ratios": {"Ca/Ti": 1}, "composition": {"Ca": {"min": 30}, "Ti": {"max": 10}}},
            ("ratio Ca/Ti = 1", "Ca at least 30", "Ti at most 10"),
        ),
        ({"ratios": {"Ca/Ti": 1, "Ti/Ca": 2}}, ("Ca/Ti = 1", "Ti/Ca = 2")),
        ({"ratios": {"Ca/Ti": 1, "Ti/Fe": 1, "Ca/Fe": 2}}, ("Ca/Ti", "Ti/Fe", "Ca/Fe")),
        (
            {
                "ratios": {"Ca/Ti": {"value": 1, "sigma": 0.05}},
                "composition": {"Ca": 30, "Ti": {"value": 10, "sigma": 1}},
            },
            ("1 +- 0.05", "10 +- 1 at%"),
        ),
    ],
)
def test_contradictions_name_both_sides_and_nothing_else(content, both):
    prior = phase(**{**content, "absent": [*content.get("absent", []), "Zr"]})
    with pytest.raises(ConfigError, match="contradict each other") as error:
        check_statements("grain", prior)
    for words in (*both, "grain", "Correct or remove"):
        assert words in str(error.value)
    assert "Zr" not in str(error.value)


def test_the_elements_of_a_specimen_must_make_up_the_whole():
    prior = phase(composition={"O": {"max": 40}, "Ca": {"max": 30}, "Ti": {"max": 20}})
    check_statements("grain", prior)
    check_statements("grain", prior, ELEMENTS)
    with pytest.raises(ConfigError, match="O at most 40"):
        check_statements("grain", prior, ("O", "Ca", "Ti"))


fractions = st.lists(st.floats(0.02, 1.0), min_size=4, max_size=4).map(
    lambda parts: dict(zip(ELEMENTS, (np.array(parts) / sum(parts)).tolist(), strict=True))
)


@given(fractions, st.sampled_from(ELEMENTS), st.floats(0.0, 10.0))
def test_statements_that_are_true_of_a_composition_never_contradict(composition, zero, room):
    composition = {**composition, zero: 0.0}
    total = sum(composition.values())
    composition = {e: x / total for e, x in composition.items()}
    seen = [e for e in ELEMENTS if e != zero]
    prior = phase(
        absent=[zero],
        present=seen,
        composition={
            seen[0]: 100 * composition[seen[0]],
            seen[1]: {
                "min": max(0.0, 100 * composition[seen[1]] - room),
                "max": min(100.0, 100 * composition[seen[1]] + room),
            },
        },
        ratios={f"{seen[1]}/{seen[2]}": composition[seen[1]] / composition[seen[2]]},
    )
    check_statements("grain", prior, ELEMENTS)
    assert violated(prior, composition) == ()


def test_a_statement_that_a_composition_violates_is_named():
    prior = phase(absent=["Ca"], ratios={"Ti/Fe": {"min": 1, "max": 3}}, present=["Fe"])
    assert violated(prior, {"Ca": 0.1, "Ti": 0.4, "Fe": 0.5}) == (
        "absent Ca",
        "ratio Ti/Fe at least 1, at most 3",
    )
    assert "present Fe" in violated(prior, {"Ti": 1.0})


def test_words_tell_all_that_is_known():
    priors = parse_priors(
        {
            "regions": {"rim": {"y": [0, 4], "x": [0, 9]}},
            "phases": {
                "grain": {
                    "absent": ["Ca"],
                    "spectrum": {"counts": [1, 2]},
                    "regions": {"only_in": ["rim", {"y": [4, 5], "x": [0, 2]}]},
                }
            },
        }
    )
    assert in_words(priors)["grain"] == [
        "absent Ca",
        "its spectrum is known",
        "only in rim, y 4 to 5, x 0 to 2",
    ]


def test_a_phase_takes_from_the_library_what_it_does_not_say_itself():
    library = {"titania": PhasePrior(absent=("Ca",), present=("Ti",))}
    priors = parse_priors({"phases": {"grain": {"like": "titania", "present": ["O"]}}})
    found = priors.with_library(library).phases["grain"]
    assert found.absent == ("Ca",) and found.present == ("O",) and found.like is None


def test_an_unknown_phase_of_the_library_is_named():
    priors = parse_priors({"library": "shared.yaml", "phases": {"grain": {"like": "titanai"}}})
    with pytest.raises(
        ConfigError, match=r"like 'titanai', but the library .shared.yaml. holds ti"
    ):
        priors.with_library({"titania": PhasePrior()})
