# SPDX-License-Identifier: GPL-3.0-or-later
import threading

import pytest

from mlatem.io.ahead import ahead


@pytest.mark.parametrize("n", [1, 3, 20])
def test_same_items_in_the_same_order(n):
    assert list(ahead(iter(range(10)), n)) == list(range(10))
    assert list(ahead(iter([]), n)) == []


def test_items_are_made_while_the_caller_works():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    stepped = ahead(items(), 1)
    assert next(stepped) == 1
    assert made.wait(10)
    assert list(stepped) == [2]


def test_an_error_comes_at_its_place():
    def items():
        yield 1
        raise KeyError("broken")

    stepped = ahead(items(), 3)
    assert next(stepped) == 1
    with pytest.raises(KeyError, match="broken"):
        next(stepped)


def test_a_caller_that_stops_early_leaves_no_thread():
    before = threading.active_count()
    stepped = ahead(iter(range(100)), 2)
    assert next(stepped) == 0
    stepped.close()
    assert threading.active_count() == before
