# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.factorization.prior_places import phase_patterns
from mlatem.model.priors import parse_priors

SHAPE = (6, 8)
LEFT = {"y": [0, 6], "x": [0, 3]}
RIGHT = {"y": [0, 6], "x": [3, 8]}


def patterns(**places):
    phases = {name: {"regions": regions} for name, regions in places.items()}
    return phase_patterns(
        parse_priors({"regions": {"left": LEFT, "right": RIGHT}, "phases": phases}), SHAPE
    )


def allowed(found):
    """Which phases may be in each pixel."""
    return found.allowed[found.pattern]


def test_nothing_is_known_of_places():
    assert patterns(a={}, b={}) is None


def test_only_in_and_not_in():
    here = allowed(patterns(a={"only_in": "left"}, b={"not_in": [{"y": [0, 1], "x": [0, 8]}]}))
    assert here[:, :3, 0].all() and not here[:, 3:, 0].any()
    assert not here[0, :, 1].any() and here[1:, :, 1].all()
    assert here[..., 2].all()


def test_where_a_phase_is_pure_no_other_is():
    mask = np.zeros(SHAPE)
    mask[2:4, 5] = 1
    here = allowed(patterns(a={"pure_in": [{"mask": mask}]}, b={}))
    assert np.array_equal(here[..., 1], mask == 0)
    assert np.array_equal(here[..., 2], mask == 0)
    assert here[..., 0].all()


def test_several_places_are_taken_together():
    here = allowed(patterns(a={"only_in": ["left", {"y": [0, 1], "x": [7, 8]}]}))
    assert here[..., 0].sum() == 6 * 3 + 1


def test_groups_do_not_depend_on_the_order_of_the_phases():
    first = patterns(a={"only_in": "left"}, b={}, c={"not_in": "left"})
    other = patterns(c={"not_in": "left"}, b={}, a={"only_in": "left"})
    assert np.array_equal(first.pattern, other.pattern)
    assert np.array_equal(first.allowed[:, [2, 1, 0, 3]], other.allowed)
    assert first.n_patterns == 2


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ({"a": {"only_in": [{"y": [0, 7], "x": [0, 8]}]}}, "'a': only_in: rows 0 to 7 .* 6 rows"),
        ({"a": {"only_in": [{"mask": np.ones((3, 3))}]}}, "mask has shape .3, 3., but the map"),
        ({"a": {"only_in": [{"mask": np.zeros(SHAPE)}]}}, "marks no pixel"),
        ({"a": {"only_in": "left", "not_in": "left"}}, "only_in and not_in leave no pixel"),
        ({"a": {"only_in": "left", "pure_in": "right"}}, "pure_in claims pixels that only_in"),
        ({"a": {"pure_in": "left"}, "b": {"pure_in": "left"}}, "phases 'a' and 'b' are both pure"),
    ],
)
def test_places_that_cannot_be(places, words):
    with pytest.raises(InputError, match=words):
        patterns(**places)
