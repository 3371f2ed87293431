# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded maps of a specimen: masks of phases, their interfaces, and the thickness.

Every mask has shape (ny, nx) and values from 0 (absent) to 1 (fills the specimen).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

Map = NDArray[np.float64]


def smooth_field(shape: tuple[int, int], correlation: float, rng: np.random.Generator) -> Map:
    """Random field without preferred direction, of mean 0 and standard deviation 1.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    correlation : float
        Standard deviation of the Gaussian that smooths white noise, in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    field : ndarray of shape (ny, nx)
        Zero on a map of one pixel.
    """
    field: Map = gaussian_filter(rng.standard_normal(shape), correlation, mode="wrap")
    field -= field.mean()
    spread = float(field.std())
    return field / spread if spread > 0 else field


def thickness_map(
    shape: tuple[int, int],
    mean_nm: float,
    rng: np.random.Generator,
    *,
    wedge: float = 0.0,
    bumps: float = 0.0,
    correlation: float = 16.0,
) -> Map:
    """Thickness of a foil: a wedge along x with smooth bumps.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    mean_nm : float
        Mean of the map, nm.
    rng : numpy.random.Generator
    wedge : float, optional
        Difference between the two ends of x relative to the mean, between -2 and 2.
    bumps : float, optional
        Relative standard deviation of smooth variations (log-normal, hence never negative).
    correlation : float, optional
        Size of the bumps in pixels.

    Returns
    -------
    thickness : ndarray of shape (ny, nx)
        In nm, positive.
    """
    position = (np.arange(shape[1]) + 0.5) / shape[1] - 0.5
    relative = np.broadcast_to(1.0 + wedge * position, shape).copy()
    if bumps > 0:
        relative *= np.exp(bumps * smooth_field(shape, correlation, rng))
    return np.asarray(mean_nm * relative / relative.mean())


def grain_labels(
    shape: tuple[int, int], n_grains: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Voronoi cells of random points: the polycrystal of pixels nearest to each seed.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    n_grains : int
    rng : numpy.random.Generator

    Returns
    -------
    labels : ndarray of shape (ny, nx), int64
        0 to n_grains - 1.
    """
    seeds = rng.uniform(0.0, shape, size=(n_grains, 2))
    pixels = np.indices(shape).reshape(2, -1).T + 0.5
    _, nearest = cKDTree(seeds).query(pixels)
    return np.asarray(nearest, dtype=np.int64).reshape(shape)


def grains_mask(
    shape: tuple[int, int], grain_size: float, area_fraction: float, rng: np.random.Generator
) -> Map:
    """Some grains of a polycrystal, with sharp borders.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    grain_size : float
        Edge of the square that has a grain's mean area, in pixels.
    area_fraction : float
        Share of the map that the chosen grains cover, as nearly as whole grains can.
    rng : numpy.random.Generator

    Returns
    -------
    mask : ndarray of shape (ny, nx)
        0 or 1.
    """
    n_grains = max(2, round(shape[0] * shape[1] / grain_size**2))
    labels = grain_labels(shape, n_grains, rng)
    order = rng.permutation(n_grains)
    area = np.cumsum(np.bincount(labels.ravel(), minlength=n_grains)[order]) / labels.size
    n_chosen = 1 + int(np.argmin(np.abs(area - area_fraction)))
    return np.isin(labels, order[:n_chosen]).astype(np.float64)


def scattered_centres(
    shape: tuple[int, int], radii: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Centres of particles that keep clear of each other as far as the map has room.

    Each particle takes the one of 64 random places that lies farthest from those already there.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    radii : ndarray of shape (n_particles,)
        In pixels.
    rng : numpy.random.Generator

    Returns
    -------
    centres : ndarray of shape (n_particles, 2)
        (y, x) in pixels.
    """
    centres = np.empty((radii.size, 2))
    for index, radius in enumerate(radii):
        candidates = rng.uniform(0.0, shape, size=(64, 2))
        gap = np.full(64, np.inf)
        for other in range(index):
            distance = np.hypot(*(candidates - centres[other]).T)
            gap = np.minimum(gap, distance - radius - radii[other])
        centres[index] = candidates[int(np.argmax(gap))] if index else candidates[0]
    return centres


def particles_mask(
    shape: tuple[int, int],
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    *,
    thickness: Map | None = None,
) -> Map:
    """Round particles in a foil.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    centres : ndarray of shape (n_particles, 2)
        (y, x) in pixels.
    radii : ndarray of shape (n_particles,)
        In pixels.
    thickness : ndarray of shape (ny, nx), optional
        Of the foil, in pixels. Spheres are then embedded in it and fill the share chord/thickness
        of the beam's path, 1 where the sphere reaches through the foil. Without it the particles
        are cylinders that reach through the foil, with sharp borders.

    Returns
    -------
    mask : ndarray of shape (ny, nx)
        Where particles overlap the larger share counts.
    """
    y, x = np.indices(shape) + 0.5
    mask = np.zeros(shape)
    for (centre_y, centre_x), radius in zip(centres, radii, strict=True):
        half_chord_squared = radius**2 - (y - centre_y) ** 2 - (x - centre_x) ** 2
        if thickness is None:
            share = (half_chord_squared > 0).astype(np.float64)
        else:
            share = 2.0 * np.sqrt(np.clip(half_chord_squared, 0.0, None)) / thickness
        mask = np.maximum(mask, np.minimum(share, 1.0))
    return mask


def _along(shape: tuple[int, int], angle_deg: float) -> Map:
    """Position along a direction, 0 to 1 across the map; 0 degrees points down (y), 90 along x."""
    y, x = np.indices(shape) + 0.5
    angle = np.deg2rad(angle_deg)
    position = y * np.cos(angle) + x * np.sin(angle)
    ends = [
        0.0,
        shape[0] * np.cos(angle),
        shape[1] * np.sin(angle),
        shape[0] * np.cos(angle) + shape[1] * np.sin(angle),
    ]
    return np.asarray((position - min(ends)) / (max(ends) - min(ends)))


def layer_mask(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    centre: float,
    width: float,
    angle_deg: float = 0.0,
    waviness: float = 0.0,
    correlation: float = 16.0,
) -> Map:
    """A layer with sharp borders that crosses the map.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    rng : numpy.random.Generator
    centre : float
        Place of the layer along its normal, 0 to 1 across the map.
    width : float
        In pixels.
    angle_deg : float, optional
        Direction of the normal: 0 along y, 90 along x.
    waviness : float, optional
        Standard deviation of the layer's displacement, in pixels.
    correlation : float, optional
        Length of the waves in pixels.

    Returns
    -------
    mask : ndarray of shape (ny, nx)
        0 or 1.
    """
    angle = np.deg2rad(angle_deg)
    length = shape[0] * abs(np.cos(angle)) + shape[1] * abs(np.sin(angle))
    distance = (_along(shape, angle_deg) - centre) * length
    if waviness > 0:
        distance = distance + waviness * smooth_field(shape, correlation, rng)
    return np.asarray((np.abs(distance) <= width / 2).astype(np.float64))


def gradient_mask(
    shape: tuple[int, int],
    *,
    start: float,
    stop: float,
    angle_deg: float = 90.0,
    maximum: float = 1.0,
) -> Map:
    """A smooth rise from 0 to `maximum`, flat at both ends.

    Parameters
    ----------
    shape : tuple of int
        (ny, nx).
    start, stop : float
        Where the rise starts and ends along its direction, 0 to 1 across the map.
    angle_deg : float, optional
        Direction of the rise: 0 along y, 90 along x.
    maximum : float, optional
        Largest share, 0 to 1.

    Returns
    -------
    mask : ndarray of shape (ny, nx)
    """
    rise = np.clip((_along(shape, angle_deg) - start) / (stop - start), 0.0, 1.0)
    return np.asarray(maximum * rise**2 * (3.0 - 2.0 * rise))


def soften(mask: Map, sigma: float) -> Map:
    """A mask whose borders are smeared by a Gaussian of `sigma` pixels (interdiffusion)."""
    if sigma <= 0:
        return mask
    return np.asarray(np.clip(gaussian_filter(mask, sigma, mode="nearest"), 0.0, 1.0))


def paint(masks: list[Map]) -> Map:
    """Volume fractions of phases painted one over the other.

    Parameters
    ----------
    masks : list of ndarray of shape (ny, nx)
        One per phase. The first is painted first; each one displaces what lies below it.

    Returns
    -------
    fractions : ndarray of shape (ny, nx, n_phases)
        They add up to the sum that the first mask leaves; to 1 where the first is 1 everywhere.
    """
    fractions = np.zeros((*masks[0].shape, len(masks)))
    for phase, mask in enumerate(masks):
        fractions *= (1.0 - mask)[..., None]
        fractions[..., phase] += mask
    return fractions


def blur_by_probe(fractions: Map, sigma: float) -> Map:
    """Volume fractions as a probe of Gaussian width sees them.

    Parameters
    ----------
    fractions : ndarray of shape (ny, nx, n_phases)
        They add up to 1 in each pixel.
    sigma : float
        Standard deviation of the probe in pixels.

    Returns
    -------
    blurred : ndarray of shape (ny, nx, n_phases)
        They still add up to 1.
    """
    if sigma <= 0:
        return fractions
    blurred: Map = gaussian_filter(fractions, (sigma, sigma, 0.0), mode="nearest")
    blurred = np.clip(blurred, 0.0, None)
    return np.asarray(blurred / blurred.sum(axis=-1, keepdims=True))
