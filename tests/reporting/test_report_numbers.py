# SPDX-License-Identifier: GPL-3.0-or-later
import pytest

from mlatem.reporting import numbers

NAN = float("nan")


@pytest.mark.parametrize(
    ("sigma", "decimals"), [(12.0, 0), (2.3, 1), (0.31, 2), (0.004, 2), (0.0, 1), (NAN, 1)]
)
def test_decimals_show_two_digits_of_sigma(sigma, decimals):
    assert numbers.decimals_of(sigma) == decimals


@pytest.mark.parametrize(
    ("nm", "text"),
    [(0.05, "50 pm"), (0.5, "0.5 nm"), (20, "20 nm"), (1000, "1 µm"), (3.84e3, "3.84 µm")],
)
def test_length_in_the_unit_that_suits_it(nm, text):
    assert numbers.length(nm) == text


@pytest.mark.parametrize(
    ("limit", "length"), [(1.0, 1.0), (4.9, 2.0), (30.0, 20.0), (0.07, 0.05), (999.0, 500.0)]
)
def test_round_length(limit, length):
    assert numbers.round_length(limit) == pytest.approx(length)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3.21, "3.21 s"),
        (75, "1 min 15 s"),
        (7260, "2 h 1 min"),
        (None, numbers.NOTHING),
        (NAN, numbers.NOTHING),
    ],
)
def test_duration(seconds, text):
    assert numbers.duration(seconds) == text


def test_what_is_not_known_is_a_dash():
    assert numbers.short(None) == numbers.whole(NAN) == numbers.fixed(NAN, 2) == numbers.NOTHING


def test_times_below_a_second():
    assert numbers.small_time(2e-5) == "20 µs"
    assert numbers.small_time(0.05) == "50 ms"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (13904.2, 3, "13\u202f900"),
        (1e6, 4, "1\u202f000\u202f000"),
        (146.17, 4, "146.2"),
        (3e12, 4, "3e+12"),
    ],
)
def test_large_values_are_written_out(value, digits, text):
    assert numbers.short(value, digits) == text
