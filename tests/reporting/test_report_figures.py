# SPDX-License-Identifier: GPL-3.0-or-later
from dataclasses import replace

import numpy as np
import pytest

from mlatem.reporting import main_elements
from mlatem.reporting.colors import phase_color, phase_image
from mlatem.reporting.deviance import deviance_z, unit_deviance_moments
from mlatem.reporting.drawing import Extent, draw_map
from mlatem.reporting.spectra import PhaseSpectrum, line_labels


def test_moments_of_the_deviance_are_those_of_simulated_counts():
    rng = np.random.default_rng(2)
    expected = np.array([0.01, 0.3, 2.0, 30.0])
    counts = rng.poisson(expected, (200_000, 4))
    ratio = np.where(counts > 0, counts, 1) / expected
    deviance = 2 * (counts * np.log(ratio) - counts + expected)
    mean, variance = unit_deviance_moments(expected)
    error = np.sqrt(variance / len(counts))
    assert np.all(np.abs(deviance.mean(axis=0) - mean) < 5 * error)
    np.testing.assert_allclose(deviance.var(axis=0), variance, rtol=0.05)


@pytest.mark.parametrize("counts_per_pixel", [5, 200, 20_000])
def test_misfit_of_a_right_model_is_noise(make, counts_per_pixel):
    z = deviance_z(make.factorization((40, 40), counts_per_pixel=counts_per_pixel))
    assert abs(z.mean()) < 5 / np.sqrt(z.size)
    assert z.std() == pytest.approx(1.0, abs=0.1)


def test_misfit_of_pixels_without_counts_is_nan(make):
    factorization = make.factorization()
    abundance = factorization.abundance.copy()
    abundance[0, 0] = 0
    z = deviance_z(replace(factorization, abundance=abundance))
    assert np.isnan(z[0, 0]) and np.isfinite(z[0, 1])


def test_residual_is_normal_where_the_model_is_right(make):
    spectrum = PhaseSpectrum.of_phase(make.factorization((40, 40), counts_per_pixel=1000), 0)
    assert spectrum.residual.std() == pytest.approx(1.0, abs=0.25)
    assert spectrum.deviance_per_channel == pytest.approx(1.0, abs=0.5)


def test_residual_has_the_sign_of_the_difference():
    spectrum = PhaseSpectrum(np.arange(3.0), np.array([5.0, 0.0, 3.0]), np.array([[2.0, 4.0, 3.0]]))
    expected = [np.sqrt(2 * (5 * np.log(2.5) - 3)), -np.sqrt(8), 0]
    np.testing.assert_allclose(spectrum.residual, expected, atol=1e-7)


def test_lines_are_named_at_their_energies(make):
    factorization = make.factorization((40, 40))
    labels = line_labels(PhaseSpectrum.of_phase(factorization, 1), factorization.dictionary)
    found = {(element, round(energy, 1)) for energy, _, element, _ in labels}
    assert {("O", 0.5), ("Fe", 0.7), ("Fe", 6.4), ("Fe", 7.1), ("Cu", 8.1)} <= found
    assert "Si" not in {element for element, _ in found}
    assert [element for *_, element, is_system in labels if is_system] == ["Cu"]


def test_phase_colors_differ_and_none_is_gray():
    assert len({phase_color(k) for k in range(12)}) == 12
    colors = phase_image(np.array([[-1, 0, 1]], dtype=np.int16), 2)
    assert np.ptp(colors[0, 0]) < 0.05
    assert np.ptp(colors[0, 1]) > 0.3


def test_extent_of_a_line_is_one_pixel_high():
    assert Extent.of_axes(np.zeros(1), 0.5 * np.arange(10)) == Extent(5.0, 0.5)
    assert Extent.of_axes(np.zeros(1), np.zeros(1)) == Extent(1.0, 1.0)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (10, 50), (16, 16), (700, 4)])
def test_images_of_any_shape_fill_their_figure(shape):
    values = np.full(shape, np.nan)
    values[0] = 1.0
    extent = Extent(shape[1] * 0.3, shape[0] * 0.3)
    figure, axes = draw_map(values, extent, title="t", unit="at%")
    assert axes.get_xlim() == (-0.5, shape[1] - 0.5)
    for part in figure.axes:
        box = part.get_position()
        assert 0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1


def test_main_elements_are_in_order_of_abundance(make):
    assert main_elements(make.table()) == ("O", "Fe", "Si")
    assert make.maps(make.factorization()).elements == ("O", "Si", "Fe")


def test_pixels_that_are_left_out_are_hatched(make):
    """Also a single pixel: its square has dark strokes, its neighbours have none."""
    mask = np.zeros((12, 16), dtype=bool)
    mask[5, 7] = mask[0, 0] = mask[11, 15] = True
    values = np.where(mask, np.nan, 1.0)
    figure, axes = draw_map(
        values, Extent(16.0, 12.0), title="", limits=(0.0, 1.0), side_in=3.0, mask=mask
    )
    figure.set_dpi(200)
    figure.canvas.draw()
    gray = np.asarray(figure.canvas.buffer_rgba())[..., :3].min(axis=2)

    def darkest(y, x):
        (left, top), (right, bottom) = axes.transData.transform(
            [(x - 0.4, y - 0.4), (x + 0.4, y + 0.4)]
        )
        rows = slice(int(gray.shape[0] - top), int(gray.shape[0] - bottom))
        return gray[rows, int(left) : int(right)].min()

    plain = darkest(5, 5)
    stroke = [darkest(*place) for place in np.argwhere(mask)]
    assert np.all(np.array(stroke) < 0x60)
    assert plain == darkest(6, 7) == darkest(1, 1)
