# SPDX-License-Identifier: GPL-3.0-or-later
"""Any words at all, also such as no microscope writes."""

import numpy as np
import pytest

from mlatem.kernels import jeol_words

SHAPE, STEP = (4, 8), (1024, 512)


@pytest.fixture
def words():
    generator = np.random.default_rng(8)
    words = generator.integers(0, 1 << 16, 4000).astype(np.uint16)
    marks = generator.random(4000) < 0.5
    on_grid = generator.choice([0x8000, 0x9000], 4000) | generator.integers(0, 8, 4000) * 512
    return np.where(marks, on_grid, words).astype(np.uint16)


def placed(words, kind):
    """Row, column and value of every word of a kind that comes after marks of row and column."""
    row, column, found = None, None, []
    for word in words.tolist():
        value = word & 0xFFF
        if word >> 12 == jeol_words.ROW:
            row, column = value // STEP[0], None
        elif word >> 12 == jeol_words.COLUMN:
            column = value // STEP[1]
        elif word >> 12 == kind and row is not None and column is not None:
            found.append((row, column, value))
    return found


def test_counts_of_a_block(words):
    whole = np.zeros((*SHAPE, 4096), np.uint32)
    for position in placed(words, jeol_words.COUNT):
        whole[position] += 1
    block = np.zeros((2, 5, 3000), np.uint32)
    jeol_words.add_counts(words, STEP, (1, 2, 500), block)
    np.testing.assert_array_equal(block, whole[1:3, 2:7, 500:3500])


def test_image(words):
    total, n_values = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    jeol_words.add_image(words, STEP, total, n_values)
    expected = np.zeros((2, *SHAPE), int)
    for row, column, value in placed(words, jeol_words.IMAGE):
        expected[:, row, column] += value, 1
    np.testing.assert_array_equal([total, n_values], expected)


def test_tally(words):
    found = jeol_words.tally(words, STEP, SHAPE)
    kind, value = words >> 12, words & 0xFFF
    n_placed = len(placed(words, jeol_words.COUNT))
    assert found[jeol_words.PLACED] == n_placed > 0
    assert found[jeol_words.UNPLACED] == np.sum(kind == jeol_words.COUNT) - n_placed
    assert found[jeol_words.N_IMAGE] == np.sum(kind == jeol_words.IMAGE)
    assert found[jeol_words.N_FOREIGN] == np.sum(kind > jeol_words.COUNT)
    beside = (kind == jeol_words.ROW) & (value % STEP[0] > 0)
    beside |= (kind == jeol_words.COLUMN) & (value % STEP[1] > 0)
    assert found[jeol_words.N_DAMAGED] == np.sum(kind < jeol_words.FIRST_KIND) + beside.sum()
