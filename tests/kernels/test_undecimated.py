# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest

from mlatem.kernels.undecimated import add_filtered


@pytest.mark.parametrize(("origin", "step"), [((3, 1), (2, 0)), ((0, 2), (0, 3))])
def test_filter_is_the_sum_that_it_says(origin, step):
    rng = np.random.default_rng(0)
    image = rng.standard_normal((20, 22)).astype(np.float32)
    taps = rng.standard_normal(4).astype(np.float32)
    result = start = rng.standard_normal((9, 8)).astype(np.float32)
    start = start.copy()
    add_filtered(image, taps, origin, step, result)
    for k, tap in enumerate(taps):
        y, x = origin[0] + k * step[0], origin[1] + k * step[1]
        start += tap * image[y : y + 9, x : x + 8]
    np.testing.assert_allclose(result, start, rtol=1e-5, atol=1e-5)
