# SPDX-License-Identifier: GPL-3.0-or-later
import json
import math
from datetime import datetime

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlatem.io.exact_json import compress, dumps, expand, loads

trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text().filter(lambda key: not key.startswith("~")), inner)
    ),
    max_leaves=20,
)


@given(trees)
def test_trees_come_back_equal(tree):
    assert loads(dumps(tree)) == tree
    assert expand(compress(tree)) == tree


def test_arrays_keep_type_and_shape():
    tree = {"f": np.array([[1.5, math.nan]], "f4"), "u": np.arange(3, dtype=">u2")}
    back = loads(dumps(tree))
    for name, array in tree.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape


def test_text_is_strict_json_whatever_comes():
    def refuse(token):
        raise AssertionError(token)

    tree = {
        "nan": math.nan,
        "number": np.float32(0.1),
        "when": datetime(2020, 1, 2),
        "object": object(),
        3: "key",
    }
    parsed = json.loads(dumps(tree), parse_constant=refuse)
    assert parsed["when"] == "2020-01-02T00:00:00"
    assert parsed["3"] == "key"
    assert math.isnan(loads(dumps(tree))["nan"])


def test_bytes_that_are_no_utf8_come_back():
    tree = {"na\udcffme": ["µm", "\udc80"]}
    assert expand(compress(tree)) == tree
