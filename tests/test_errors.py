# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors survive the way from a worker to the user."""

from __future__ import annotations

import pickle

import pytest

from mlatem import errors

CHILDREN = {
    errors.InputError: ValueError,
    errors.ConfigError: ValueError,
    errors.StoreError: OSError,
    errors.MemoryLimitError: MemoryError,
    errors.ConvergenceError: ArithmeticError,
}


@pytest.mark.parametrize(("child", "builtin"), CHILDREN.items())
def test_every_error_is_ours_and_a_builtin(child: type[Exception], builtin: type[Exception]):
    with pytest.raises(builtin) as caught:
        raise child("what, which, expected, mend")
    assert isinstance(caught.value, errors.MlatemError)


@pytest.mark.parametrize("child", CHILDREN)
def test_errors_keep_their_message_through_pickle(child: type[Exception]):
    back = pickle.loads(pickle.dumps(child("what, which, expected, mend")))
    assert type(back) is child
    assert str(back) == "what, which, expected, mend"


def test_read_error_names_file_cause_and_mend():
    error = errors.ReadError("map.emd", "the file is cut at 12 kB", "Copy it again.")
    assert str(error) == "map.emd: the file is cut at 12 kB. Copy it again."
    assert isinstance(error, OSError)


def test_read_error_survives_pickle():
    error = errors.ReadError("map.emd", "the file is cut", "Copy it again.")
    back = pickle.loads(pickle.dumps(error))
    assert (back.path, back.cause, back.mend) == ("map.emd", "the file is cut", "Copy it again.")
    assert str(back) == str(error)
