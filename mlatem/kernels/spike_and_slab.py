# SPDX-License-Identifier: GPL-3.0-or-later
"""Gibbs sampling of non-negative values that are exactly zero or of any order of magnitude."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Cells on which the conditional density of a value is tabulated.
_CELLS = 24
#: Standard deviations of the Gaussian part that the cells span on either side.
_REACH = 6.0
#: Beyond a bound, the cells span this many times the length in which the density falls e-fold.
_DECAY = 8.0
#: Relative change of a value plus its error below which its prior counts as constant.
_SAME = 0.01
_RENEW = 20
_TINY = 1e-12


def posterior_mean(
    start: Array,
    information: Array,
    slope: Array,
    error: Array,
    group: NDArray[np.int64],
    *,
    n_sweeps: int,
    n_discarded: int,
    seed: int,
    bounds: Array | None = None,
    n_with_zeros: int | None = None,
) -> Array:
    """Mean of a Gaussian likelihood times a prior that favours zeros.

    Parameters
    ----------
    start : ndarray of shape (n_values,)
        Not negative; where the chain starts and the likelihood is expanded.
    information : ndarray of shape (n_values, n_values)
        Positive definite.
    slope : ndarray of shape (n_values,)
        Gradient of the negative log-likelihood at the start.
    error : ndarray of shape (n_values,)
        Scale below which a value is as good as zero.
    group : ndarray of shape (n_values,)
        Values of a group share the probability of zeros; -1 for a flat prior on values >= 0.
    n_sweeps, n_discarded : int
        Rounds over all values, and how many of the first are left out of the mean.
    seed : int
    bounds : ndarray of shape (n_bounds, n_values), optional
        `bounds @ value` is nowhere negative; where it is at the start, it gets no more so.
    n_with_zeros : int, optional
        Values of groups from this one on are never zero, but of any order of magnitude.

    Returns
    -------
    mean : ndarray of shape (n_values,)

    Notes
    -----
    A value v of a group is zero with probability p, else of density proportional to 1 / (error + v)
    up to one; p is uniform between 0 and 1 and sampled with the values (George & McCulloch 1993,
    J. Am. Stat. Assoc. 88, 881; Geweke 1996, Bayesian Statistics 5, 609). A value moves together
    with those that are not zero along the ray on which the likelihood falls least, and its
    conditional distribution is tabulated (griddy Gibbs, Ritter & Tanner 1992, J. Am. Stat. Assoc.
    87, 861): strongly correlated values do not slow the chain down.
    """
    absent = np.full(max(int(group.max(initial=-1)) + 1, 1), 0.5)
    if n_with_zeros is not None:
        absent[n_with_zeros:] = 0.0
    mean: Array = _sample(
        np.array(start, dtype=np.float64),
        np.ascontiguousarray(information),
        np.ascontiguousarray(slope),
        np.ascontiguousarray(error),
        np.ascontiguousarray(group),
        np.zeros((0, len(start))) if bounds is None else np.ascontiguousarray(bounds),
        absent,
        n_sweeps,
        n_discarded,
        np.random.default_rng(seed),
    )
    return mean


@njit(cache=True, nogil=True, error_model="numpy")
def _sample(  # type: ignore[no-untyped-def]
    value, information, slope, error, group, bounds, absent, n_sweeps, n_discarded, rng
):
    n = len(value)
    start = value.copy()
    gradient = slope.copy()
    active = np.empty(n, dtype=np.bool_)
    for i in range(n):
        active[i] = value[i] > 0.0 or group[i] < 0
    covariance = _inverse(information, active)
    mean = np.zeros(n)
    ray = np.empty(n)
    for sweep in range(n_sweeps):
        for _ in range(n):
            j = rng.integers(0, n)
            _ray(information, covariance, active, j, ray)
            push = information @ ray
            force = ray @ gradient, ray @ push
            window = _window(*_limits(value, bounds, ray, j), *force)
            moved, zero = _conditional(
                value, error, group, active, ray, j, window, force, absent, rng
            )
            for i in range(n):
                value[i] = max(value[i] + moved * ray[i], 0.0)
                gradient[i] += moved * push[i]
            if zero:
                value[j] = 0.0
            if active[j] == zero:
                _flip(covariance, active, ray, j, ray @ push)
        if sweep % _RENEW == 0:
            covariance = _inverse(information, active)
        gradient = slope + information @ (value - start)
        _sample_absence(active, group, absent, rng)
        if sweep >= n_discarded:
            mean += value
    return mean / (n_sweeps - n_discarded)


@njit(cache=True, nogil=True)
def _inverse(information, active):  # type: ignore[no-untyped-def]
    """Inverse of the information on the active values; zero elsewhere."""
    places = np.nonzero(active)[0]
    part = np.empty((len(places), len(places)))
    for a in range(len(places)):
        for b in range(len(places)):
            part[a, b] = information[places[a], places[b]]
    inverse = np.linalg.inv(part)
    result = np.zeros(information.shape)
    for a in range(len(places)):
        for b in range(len(places)):
            result[places[a], places[b]] = inverse[a, b]
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def _ray(information, covariance, active, j, ray):  # type: ignore[no-untyped-def]
    """How the active values follow value j, which changes by one, at the least loss."""
    if active[j]:
        ray[:] = covariance[j] / covariance[j, j]
    else:
        ray[:] = -(covariance @ information[j])
    ray[j] = 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def _flip(covariance, active, ray, j, curvature):  # type: ignore[no-untyped-def]
    """Take value j out of the active ones or in, by an update of rank one."""
    sign = -covariance[j, j] if active[j] else 1.0 / curvature
    for a in range(len(ray)):
        for b in range(len(ray)):
            covariance[a, b] += sign * ray[a] * ray[b]
    if active[j]:
        covariance[j] = 0.0
        covariance[:, j] = 0.0
    active[j] = not active[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _limits(value, bounds, ray, j):  # type: ignore[no-untyped-def]
    """The longest steps of value j along its ray, down and up, within what is allowed."""
    low, high = -value[j], np.inf
    for i in range(len(value)):
        if ray[i] < -_TINY:
            high = min(high, -value[i] / ray[i])
        elif ray[i] > _TINY and i != j:
            low = max(low, -value[i] / ray[i])
    for b in range(len(bounds)):
        left, change = max(bounds[b] @ value, 0.0), bounds[b] @ ray
        if change < -_TINY:
            high = min(high, -left / change)
        elif change > _TINY:
            low = max(low, -left / change)
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _conditional(  # type: ignore[no-untyped-def]
    value, error, group, active, ray, j, window, force, absent, rng
):
    """Step of value j along its ray, drawn from the conditional distribution; whether to zero."""
    (first, last), (slope, curvature) = window, force
    may_be_zero = group[j] >= 0 and absent[group[j]] > 0.0 and first <= -value[j] + _TINY
    if not last > first:
        return 0.0, not active[j]
    others = _touched(value, error, group, active, ray, j, max(-first, last))
    logarithmic = group[j] >= 0
    offset = error[j] + value[j]
    begin = np.log(offset + first) if logarithmic else first
    width = ((np.log(offset + last) if logarithmic else last) - begin) / _CELLS
    step, chance = np.empty(_CELLS + 1), np.empty(_CELLS + 1)
    for cell in range(_CELLS + 1):
        place = begin + (cell + 0.5) * width
        step[cell] = np.exp(place) - offset if logarithmic else place
        if cell == _CELLS:
            step[cell] = -value[j]
        t = step[cell]
        chance[cell] = -t * (slope + 0.5 * curvature * t)
        for i in others:
            scale = error[i] + value[i]
            chance[cell] -= np.log(max(scale + t * ray[i], _TINY * scale) / scale)
        if logarithmic and cell < _CELLS:
            share = (1.0 - absent[group[j]]) / np.log(1.0 + 1.0 / error[j])
            chance[cell] += np.log(max(width * share, 1e-300))
        elif cell == _CELLS:
            chance[cell] += np.log(max(absent[group[j]], 1e-300)) if may_be_zero else -np.inf
    chosen = _draw(chance, rng)
    if chosen == _CELLS:
        return -value[j], True
    place = begin + (chosen + rng.random()) * width
    return (np.exp(place) - offset if logarithmic else place), False


@njit(cache=True, nogil=True, error_model="numpy")
def _window(low, high, slope, curvature):  # type: ignore[no-untyped-def]
    """Where the Gaussian part of a conditional density is not negligible, within the bounds."""
    centre, reach = -slope / curvature, _REACH / np.sqrt(curvature)
    first, last = max(low, centre - reach), min(high, centre + reach)
    if first < last:
        return first, last
    if centre < low:
        return low, min(high, low + _DECAY / (slope + curvature * low))
    return max(low, high + _DECAY / (slope + curvature * high)), high


@njit(cache=True, nogil=True)
def _touched(value, error, group, active, ray, j, longest):  # type: ignore[no-untyped-def]
    """Other values whose prior changes along the ray."""
    places = np.empty(len(value), dtype=np.int64)
    n = 0
    for i in range(len(value)):
        if i == j or group[i] < 0 or not active[i]:
            continue
        if abs(ray[i]) * longest > _SAME * (error[i] + value[i]):
            places[n] = i
            n += 1
    return places[:n]


@njit(cache=True, nogil=True)
def _draw(chance, rng):  # type: ignore[no-untyped-def]
    """A place drawn with the probabilities of which the logarithms are given."""
    weight = np.exp(chance - chance.max())
    left = rng.random() * weight.sum()
    for place in range(len(weight)):
        left -= weight[place]
        if left <= 0.0:
            return place
    return int(np.argmax(chance))


@njit(cache=True, nogil=True)
def _sample_absence(active, group, absent, rng):  # type: ignore[no-untyped-def]
    """Probability of a zero in each group, given which are zero; none stays none."""
    for k in range(len(absent)):
        if absent[k] == 0.0:
            continue
        n_zero, n_others = 0, 0
        for i in range(len(group)):
            if group[i] == k:
                n_zero += not active[i]
                n_others += active[i]
        absent[k] = rng.beta(1.0 + n_zero, 1.0 + n_others)
