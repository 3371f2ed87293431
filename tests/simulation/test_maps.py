# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
from scipy import stats

from mlatem.simulation import maps

SHAPE = (40, 60)


def generator():
    return np.random.default_rng(5)


def test_smooth_field_is_standardized():
    field = maps.smooth_field(SHAPE, 4.0, generator())
    assert field.mean() == pytest.approx(0, abs=1e-12)
    assert field.std() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=1)).max() < 1


def test_thickness_is_a_wedge_with_the_given_mean():
    thickness = maps.thickness_map(SHAPE, 80.0, generator(), wedge=0.5, bumps=0.1)
    assert thickness.mean() == pytest.approx(80)
    assert thickness.min() > 0
    flat = maps.thickness_map(SHAPE, 80.0, generator(), wedge=0.5)
    assert (flat[0, -1] - flat[0, 0]) / 80 == pytest.approx(0.5 * 59 / 60)


def test_grains_cover_about_the_asked_share():
    mask = maps.grains_mask(SHAPE, 5.0, 0.3, generator())
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert mask.mean() == pytest.approx(0.3, abs=0.03)


def test_area_of_particles():
    radii = np.array([6.0, 4.0])
    centres = np.array([[15.0, 15.0], [25.0, 45.0]])
    through = maps.particles_mask(SHAPE, centres, radii)
    assert through.sum() == pytest.approx(np.pi * np.sum(radii**2), rel=0.05)
    embedded = maps.particles_mask(SHAPE, centres, radii, thickness=np.full(SHAPE, 20.0))
    volume = 4 / 3 * np.pi * np.sum(radii**3)
    assert 20 * embedded.sum() == pytest.approx(volume, rel=0.05)


def test_centres_keep_clear_of_each_other():
    centres = maps.scattered_centres(SHAPE, np.full(6, 4.0), generator())
    gaps = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
    assert gaps[np.triu_indices(6, 1)].min() > 8


@pytest.mark.parametrize(("angle", "axis"), [(0.0, 0), (90.0, 1)])
def test_layer_has_its_width_across_its_normal(angle, axis):
    mask = maps.layer_mask(SHAPE, generator(), centre=0.5, width=10.0, angle_deg=angle)
    np.testing.assert_array_equal(mask.sum(axis=axis), 10)


def test_gradient_rises_smoothly():
    mask = maps.gradient_mask(SHAPE, start=0.25, stop=0.75, maximum=0.8)
    assert np.all(np.diff(mask, axis=1) >= 0)
    assert mask[0, 0] == 0
    assert mask[0, -1] == pytest.approx(0.8)


def test_soften_gives_an_error_function():
    edge = np.repeat((np.arange(60) >= 30)[None, :].astype(float), 40, axis=0)
    expected = stats.norm.cdf(np.arange(60), 29.5, 3.0)
    np.testing.assert_allclose(maps.soften(edge, 3.0)[20], expected, atol=0.01)


def test_fractions_add_up_to_one_whatever_is_painted():
    rng = generator()
    masks = [np.ones(SHAPE), *rng.uniform(size=(4, *SHAPE))]
    fractions = maps.paint(masks)
    np.testing.assert_allclose(fractions.sum(axis=-1), 1)
    np.testing.assert_allclose(fractions[..., -1], masks[-1])
    blurred = maps.blur_by_probe(fractions, 1.5)
    np.testing.assert_allclose(blurred.sum(axis=-1), 1)
    assert blurred.min() >= 0
