# SPDX-License-Identifier: GPL-3.0-or-later
"""The maps of a report."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.image import imsave
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy import ndimage

from mlatem.model import Factorization
from mlatem.model.pixel_maps import PixelMaps
from mlatem.reporting.colors import abundance_colormap, phase_image
from mlatem.reporting.deviance import deviance_z
from mlatem.reporting.drawing import Extent, draw_map, finish
from mlatem.reporting.inputs import MassThickness, Picture, Survey

_LARGE_IN = 5.2
_THUMBNAIL_PX = 144
#: Maps of at% reach at least to here, so that the noise of an absent element stays dark.
_LEAST_PERCENT = 1.0
#: Maps of the misfit reach at least to here, so that noise alone stays dark.
_HIGHEST_Z_OF_NOISE = 6.0
_UG_CM2_PER_KG_M2 = 1e5


def survey_picture(survey: Survey, *, dpi: int) -> Picture:
    """The survey image, gray values between its 0.5 and 99.5 percentiles."""
    image = np.asarray(survey.image, dtype=np.float64)
    ny, nx = image.shape
    extent = Extent(nx * survey.pixel_nm, ny * survey.pixel_nm)
    figure, _ = draw_map(
        image,
        extent,
        title=survey.name,
        colormap="gray",
        limits=_limits(image, low=0.5, high=99.5),
        side_in=_LARGE_IN,
    )
    return finish(figure, dpi=dpi, text=f"{survey.name} image of the area")


def phase_map_picture(maps: PixelMaps, *, dpi: int) -> Picture:
    """The map of the dominating phases, each with its number in its largest part."""
    colors = phase_image(maps.phase, maps.n_phases)
    figure, axes = draw_map(
        colors, _extent(maps), title="phase map", side_in=_LARGE_IN, mask=maps.mask
    )
    outline = [withStroke(linewidth=2.5, foreground="#101214")]
    for phase in range(maps.n_phases):
        place = _innermost_pixel(maps.phase == phase)
        if place is not None:
            y, x = place
            text = axes.text(x, y, str(phase + 1), color="white", fontsize=10, fontweight="bold")
            text.set(ha="center", va="center", path_effects=outline)
    return finish(figure, dpi=dpi, text=f"map of the {maps.n_phases} phases")


def element_picture(maps: PixelMaps, element: int, *, dpi: int) -> Picture:
    """Atomic percent of an element."""
    return _percent(maps, maps.atomic_percent[..., element], maps.elements[element], dpi=dpi)


def element_sigma_picture(maps: PixelMaps, element: int, *, dpi: int) -> Picture:
    """Standard deviation of the atomic percent of an element."""
    title = f"\N{GREEK SMALL LETTER SIGMA} of {maps.elements[element]}"
    return _percent(maps, maps.sigma[..., element], title, dpi=dpi, least=0.1)


def _percent(
    maps: PixelMaps,
    values: NDArray[np.floating],
    title: str,
    *,
    dpi: int,
    least: float = _LEAST_PERCENT,
) -> Picture:
    _, top = _limits(values, low=0, high=99.8)
    figure, _ = draw_map(
        values,
        _extent(maps),
        title=title,
        unit="at%",
        limits=(0.0, max(top, least)),
        mask=maps.mask,
    )
    return finish(figure, dpi=dpi, text=f"map of {title} in atomic percent")


def mass_thickness_picture(
    thickness: MassThickness, factorization: Factorization, *, dpi: int
) -> Picture:
    """Mass thickness along the beam, or that over its mean."""
    is_relative = thickness.scale == "relative"
    values = thickness.values * (1.0 if is_relative else _UG_CM2_PER_KG_M2)
    _, top = _limits(values, low=0, high=99.8)
    title = "relative mass thickness" if is_relative else "mass thickness"
    figure, _ = draw_map(
        values,
        Extent.of_axes(factorization.y_nm, factorization.x_nm),
        title=title,
        unit="" if is_relative else "\N{MICRO SIGN}g/cm\N{SUPERSCRIPT TWO}",
        limits=(0.0, top if top > 0 else 1.0),
        mask=factorization.mask,
    )
    return finish(figure, dpi=dpi, text=f"map of the {title}")


def abundance_picture(
    factorization: Factorization, phase: int, *, dpi: int, smooth: bool = False
) -> Picture:
    """Expected counts of a phase, of each pixel by itself or smoothed over similar neighbours."""
    abundance = factorization.abundance_smooth if smooth else factorization.abundance
    values = (factorization.abundance if abundance is None else abundance)[..., phase]
    values = np.where(factorization.used, values, np.nan)
    _, top = _limits(values, low=0, high=99.8)
    figure, _ = draw_map(
        values,
        Extent.of_axes(factorization.y_nm, factorization.x_nm),
        title=f"phase {phase + 1}",
        unit="counts",
        limits=(0.0, top if top > 0 else 1.0),
        colormap=abundance_colormap(phase),
        mask=factorization.mask,
    )
    how = "smoothed abundance" if smooth else "abundance"
    return finish(figure, dpi=dpi, text=f"{how} map of phase {phase + 1} in counts")


def deviance_pictures(factorization: Factorization, *, dpi: int) -> dict[str, Picture]:
    """The deviance of the pixels, as it is and in standard deviations above the expected."""
    extent = Extent.of_axes(factorization.y_nm, factorization.x_nm)
    raw = np.where(factorization.used, factorization.deviance, np.nan)
    z = deviance_z(factorization)
    sigma = "\N{GREEK SMALL LETTER SIGMA}"
    top = max(_limits(z, low=0, high=99.9)[1], _HIGHEST_Z_OF_NOISE)
    raw_limits = _limits(raw, low=0.2, high=99.8)
    pictures = {}
    for name, values, title, unit, limits in (
        ("deviance", raw, "deviance", "2 \N{GREEK CAPITAL LETTER DELTA} ln L", raw_limits),
        ("deviance_z", z, "misfit beyond the noise", sigma, (-3.0, top)),
    ):
        figure, _ = draw_map(
            values,
            extent,
            title=title,
            unit=unit,
            limits=limits,
            colormap="magma",
            side_in=3.0,
            mask=factorization.mask,
        )
        pictures[name] = finish(figure, dpi=dpi, text=f"map of the {title}")
    return pictures


def thumbnail(maps: PixelMaps) -> bytes:
    """The phase map as a small PNG without letters."""
    ny, nx = maps.phase.shape
    extent = _extent(maps)
    scale = _THUMBNAIL_PX / max(extent.width_nm, extent.height_nm)
    rows = _nearest(ny, max(round(extent.height_nm * scale), 8))
    columns = _nearest(nx, max(round(extent.width_nm * scale), 8))
    buffer = io.BytesIO()
    small = phase_image(maps.phase[np.ix_(rows, columns)], maps.n_phases)
    imsave(buffer, small, format="png")
    return buffer.getvalue()


def _nearest(n_from: int, n_to: int) -> NDArray[np.intp]:
    return np.asarray((np.arange(n_to) + 0.5) * n_from / n_to).astype(np.intp)


def _innermost_pixel(mask: NDArray[np.bool_]) -> tuple[int, int] | None:
    """The pixel of the mask that is farthest from its border, the middle one of several."""
    if not mask.any():
        return None
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    candidates = np.argwhere(distance > distance.max() - 0.5)
    from_middle = np.linalg.norm(candidates - candidates.mean(axis=0), axis=1)
    y, x = candidates[np.argmin(from_middle)]
    return int(y), int(x)


def _extent(maps: PixelMaps) -> Extent:
    return Extent.of_axes(maps.y_nm, maps.x_nm)


def _limits(values: NDArray[np.floating], *, low: float, high: float) -> tuple[float, float]:
    """Percentiles of the finite values; apart from each other also where all are the same."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    start, stop = (float(p) for p in np.percentile(finite, [low, high]))
    return (start, stop) if stop > start else (min(start, 0.0), max(start, 0.0) or 1.0)
