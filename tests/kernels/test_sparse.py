# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.errors import InputError
from mlatem.model import SparseCounts

DTYPES = ["bool", "u1", "u2", "u4", "u8", "i1", "i2", "i8", "f2", "f4", "f8", ">u2", ">f4"]


def field(dtype="u2", shape=(5, 7, 33), mean=0.2):
    counts = np.random.default_rng(3).poisson(mean, shape)
    return (counts > 0 if dtype == "bool" else counts).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_and_back(dtype):
    block = field(dtype)
    counts = SparseCounts.from_dense(block, np.arange(35))
    counts.validate()
    assert np.array_equal(counts.to_dense(), block.reshape(35, 33).astype(int))
    assert counts.count.dtype == np.uint8 and counts.channel.dtype == np.uint16
    assert counts.n_events == np.count_nonzero(block)


def test_rows_of_pixels_and_views_equal_the_block():
    block = field(shape=(10, 14, 66))
    view = block[::2, ::2, ::2]
    of_view = SparseCounts.from_dense(view, np.arange(35))
    of_rows = SparseCounts.from_dense(np.ascontiguousarray(view).reshape(35, 33), np.arange(35))
    for name in ("pointer", "channel", "count"):
        assert np.array_equal(getattr(of_view, name), getattr(of_rows, name))


@pytest.mark.parametrize(
    ("largest", "dtype"), [(255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")]
)
def test_smallest_type_that_holds_the_counts(largest, dtype):
    block = np.zeros((1, 2, 4), dtype=np.int64)
    block[0, 1, 2] = largest
    counts = SparseCounts.from_dense(block, [0, 1])
    assert counts.count.dtype == dtype
    assert counts.count.tolist() == [largest]


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (np.nan, "NaN"),
        (np.inf, "NaN"),
        (-1.0, "negative"),
        (0.5, "whole"),
        (1e12, "2\\^32"),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_that_are_not_counts_are_named(value, word, dtype):
    block = field(dtype)
    block[2, 3, 5] = value
    with pytest.raises(InputError, match=rf"a\.emd: value .* pixel 117, channel 5 is .*{word}"):
        SparseCounts.from_dense(block, np.arange(100, 135), label="a.emd")


def test_negative_integer_is_named():
    block = field("i2")
    block[0, 0, 0] = -3
    with pytest.raises(InputError, match="-3 at pixel 0, channel 0 is negative"):
        SparseCounts.from_dense(block, np.arange(35))


@pytest.mark.parametrize(
    ("block", "pixel"),
    [
        (np.zeros(4), [0]),
        (np.zeros((2, 2, 4)), [0]),
        (np.zeros((1, 70000), dtype="u1"), [0]),
        (np.zeros((1, 4), dtype=complex), [0]),
    ],
)
def test_shapes_and_types_that_are_refused(block, pixel):
    with pytest.raises(InputError):
        SparseCounts.from_dense(block, pixel)


def test_sums():
    block = field()
    counts = SparseCounts.from_dense(block, np.arange(35))
    assert np.array_equal(counts.pixel_totals(), block.sum(axis=2).ravel())
    assert np.array_equal(counts.sum_spectrum(), block.sum(axis=(0, 1)))


def test_no_counts_at_all():
    counts = SparseCounts.from_dense(np.zeros((2, 3, 4), dtype="u1"), np.arange(6))
    counts.validate()
    assert counts.n_events == 0
    assert counts.pixel_totals().tolist() == [0] * 6
    assert counts.sum_spectrum().tolist() == [0] * 4
