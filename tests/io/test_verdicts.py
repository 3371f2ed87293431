# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.io.verdicts import verdicts
from mlatem.model import SpectrumImage


@pytest.mark.parametrize("attrs", [{}, {"warnings": []}])
def test_file_without_warnings_has_no_verdict(attrs):
    assert verdicts(image_of(attrs)) == ()


def test_warnings_of_the_conversion_become_one_verdict():
    (verdict,) = verdicts(image_of({"warnings": ["the file was cut", "a frame is missing"]}))
    assert (verdict.value, verdict.status) == (2.0, "warning")
    assert verdict.message == "the file was cut; a frame is missing"


def image_of(attrs):
    counts = np.ones((2, 2, 4), np.uint8)
    positions = np.arange(2.0)
    return SpectrumImage(counts, np.arange(4.0), positions, positions, attrs=attrs)
