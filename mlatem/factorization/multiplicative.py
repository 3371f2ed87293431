# SPDX-License-Identifier: GPL-3.0-or-later
"""Accelerated multiplicative updates of abundances and weights on the counts of all pixels.

Slow where phases mix strongly, but simple: no Hessian is needed that could be singular.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.errors import InputError
from mlatem.factorization.pooled import Array, spectral_angle
from mlatem.kernels import poisson
from mlatem.model import SparseCounts

#: Share of the even value below which a start is lifted: updates never free a zero.
_START_FLOOR = 1e-3
#: Extrapolated values stay above this share of those they come from.
_LEAST_SHARE = 1e-3
#: Decrease of the loss of a cycle, in nats, that no statistics can tell.
_INDIFFERENT = 0.1


@dataclass(frozen=True)
class MultiplicativeResult:
    """Where the updates ended."""

    abundance: NDArray[np.float32]
    """Shape (n_pixels, n_phases); counts."""
    weight: Array
    """Shape (n_phases, n_columns); rows add up to one."""
    loss: tuple[float, ...]
    """Negative log-likelihood after each cycle, nats; never rises but for rounding."""
    converged: bool
    reason: str
    """Why it did not converge; empty if it did."""


def update(
    counts: SparseCounts, columns: Array, abundance: NDArray[np.floating], weight: Array
) -> tuple[NDArray[np.float32], Array]:
    """One multiplicative update of the abundances, then one of the weights.

    Parameters
    ----------
    counts : SparseCounts
    columns : ndarray of shape (n_columns, n_energy)
        Each adds up to one.
    abundance : ndarray of shape (n_pixels, n_phases)
    weight : ndarray of shape (n_phases, n_columns)

    Returns
    -------
    abundance, weight : ndarray
        Neither raises the loss. Rows of weights add up to one only where the updates end.

    Notes
    -----
    Lee & Seung (2001), equation 5, with the spectra in the span of the columns.
    """
    return update_with_loss(counts, columns, abundance, weight)[:2]


def update_with_loss(
    counts: SparseCounts, columns: Array, abundance: NDArray[np.floating], weight: Array
) -> tuple[NDArray[np.float32], Array, float]:
    """As `update`, with the loss before it: its models are at hand."""
    events = (counts.pointer, counts.channel, counts.count)
    spectrum = _by_channel(weight, columns)
    abundance, before = poisson.sweep_with_loss(*events, spectrum, abundance)
    gain = poisson.spectrum_gain(*events, spectrum, abundance)
    total = abundance.sum(axis=0, dtype=np.float64)
    moved = weight * (gain.T @ columns.T) / np.where(total > 0, total, 1.0)[:, None]
    return abundance, moved, before


def fit(
    counts: SparseCounts,
    columns: Array,
    abundance: NDArray[np.floating],
    weight: Array,
    *,
    max_cycles: int = 200,
    tolerance: float = 1e-4,
    weight_tolerance: float = 1e-4,
) -> MultiplicativeResult:
    """Joint maximum likelihood by squared extrapolation of multiplicative updates.

    Parameters
    ----------
    counts : SparseCounts
    columns : ndarray of shape (n_columns, n_energy)
        Each adds up to one.
    abundance : ndarray of shape (n_pixels, n_phases)
        Start; lifted where it is near zero.
    weight : ndarray of shape (n_phases, n_columns)
        Start; lifted where it is near zero.
    max_cycles : int, optional
        A cycle costs three updates and two losses.
    tolerance : float, optional
        Stop when no spectrum turns by more in a cycle, radian, ...
    weight_tolerance : float, optional
        ... no weight changes by more, and the loss falls by less than statistics can tell.

    Raises
    ------
    InputError
        If the shapes disagree or the start is not finite.

    Notes
    -----
    Scheme S3 of Varadhan & Roland (2008), Scand. J. Stat. 35, 335. An extrapolation that raises the
    loss is dropped for the two plain updates it was made from, which cannot.
    """
    _check(counts, columns, abundance, weight)
    weight = np.maximum(weight, _START_FLOOR / weight.shape[1])
    weight = weight / weight.sum(axis=1, keepdims=True)
    even = counts.pixel_totals()[:, None] / abundance.shape[1]
    abundance = np.maximum(abundance, _START_FLOOR * even).astype(np.float32)
    losses = [_loss(counts, columns, abundance, weight)]
    for _ in range(max_cycles):
        first = update(counts, columns, abundance, weight)
        second = update(counts, columns, *first)
        trial = update(counts, columns, *_extrapolated((abundance, weight), first, second))
        value = _loss(counts, columns, *trial)
        if not value <= losses[-1]:
            trial, value = second, _loss(counts, columns, *second)
        if not np.isfinite(value):
            return _result(abundance, weight, losses, "the loss is not finite: check the start")
        turned = spectral_angle(weight @ columns, trial[1] @ columns).max()
        changed = np.abs(trial[1] - weight).max()
        scale, fell = trial[1].sum(axis=1), losses[-1] - value
        abundance, weight = trial[0] * scale.astype(np.float32), trial[1] / scale[:, None]
        losses.append(value)
        if turned < tolerance and changed < weight_tolerance and fell < _INDIFFERENT:
            return _result(abundance, weight, losses, "")
    return _result(abundance, weight, losses, f"still moved after {max_cycles} cycles")


def _extrapolated(
    start: tuple[NDArray[np.float32], Array],
    first: tuple[NDArray[np.float32], Array],
    second: tuple[NDArray[np.float32], Array],
) -> tuple[NDArray[np.float32], Array]:
    """Where the updates seem to lead to, by the length and the bend of two of them."""
    # Variances: an abundance's is about itself, a weight's itself over the counts of its phase.
    total = start[0].sum(axis=0, dtype=np.float64)[:, None]
    scales = (1.0 / (1.0 + start[0]), total / (1e-6 + start[1]))
    length_a, bend_a = _lengths(start[0], first[0], second[0], scales[0])
    length_w, bend_w = _lengths(start[1], first[1], second[1], scales[1])
    bend = bend_a + bend_w
    stride = max(1.0, np.sqrt((length_a + length_w) / bend)) if bend > 0 else 1.0
    abundance = _along(start[0], first[0], second[0], stride)
    weight = _along(start[1], first[1], second[1], stride)
    return abundance.astype(np.float32), weight / weight.sum(axis=1, keepdims=True)


Values = NDArray[np.floating]


def _lengths(start: Values, first: Values, second: Values, scale: Values) -> tuple[float, float]:
    """Squared length of the first update and of the change from it to the second."""
    length = np.sum(scale * (first - start) ** 2, dtype=np.float64)
    bend = np.sum(scale * (second - 2.0 * first + start) ** 2, dtype=np.float64)
    return float(length), float(bend)


def _along(start: Values, first: Values, second: Values, stride: float) -> Values:
    """The extrapolation, above a share of the second update."""
    moved = start + 2.0 * stride * (first - start)
    moved = moved + stride**2 * (second - 2.0 * first + start)
    above: Values = np.maximum(moved, _LEAST_SHARE * second)
    return above


def _result(
    abundance: NDArray[np.float32], weight: Array, losses: list[float], reason: str
) -> MultiplicativeResult:
    return MultiplicativeResult(abundance, weight, tuple(losses), not reason, reason)


def _loss(
    counts: SparseCounts, columns: Array, abundance: NDArray[np.floating], weight: Array
) -> float:
    events = (counts.pointer, counts.channel, counts.count)
    return float(poisson.loss(*events, _by_channel(weight, columns), abundance).sum())


def _by_channel(weight: Array, columns: Array) -> NDArray[np.float32]:
    return np.ascontiguousarray((weight @ columns).T, dtype=np.float32)


def _check(
    counts: SparseCounts, columns: Array, abundance: NDArray[np.floating], weight: Array
) -> None:
    expected = (abundance.shape[1], len(columns))
    if abundance.shape[0] != counts.n_pixels or weight.shape != expected:
        raise InputError(
            f"abundances of shape {abundance.shape} and weights of {weight.shape} for "
            f"{counts.n_pixels} pixels and {len(columns)} columns: expected one row a pixel, and "
            f"weights of shape {expected}"
        )
    if columns.shape[1] != counts.n_energy:
        raise InputError(
            f"columns have {columns.shape[1]} channels and the counts {counts.n_energy}: use the "
            "window that the columns describe"
        )
    if not (np.all(np.isfinite(abundance)) and np.all(np.isfinite(weight))):
        raise InputError("the start of the multiplicative updates is not finite")
