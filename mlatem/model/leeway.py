# SPDX-License-Identifier: GPL-3.0-or-later
"""What the counts allow beside the compositions that were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from mlatem.errors import InputError

Array = NDArray[np.float64]

#: Half the width of an interval of 95 % and of 68 % of a normal distribution, and the one-sided
#: limit of 95 %, in standard deviations.
Z_95, Z_68, Z_ONE_SIDED = 1.960, 1.0, 1.645

#: Places of the amounts at which a freed coefficient is looked at, from the least, 0, to the
#: largest, 1: evenly on the ellipse of equal likelihood.
_PLACES = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 9))


@dataclass(frozen=True)
class Leeway:
    """Compositions that the counts allow, thinning by thinning, as intervals are made of them.

    An answer holds some coefficients at zero and pulls others down. What that hides is kept here:
    the step to the likeliest composition with the same zeros, and for each coefficient at zero
    how all others follow if it alone is freed.
    """

    coefficient: Array
    """Shape (n_thinnings, n_phases, n_columns)."""
    covariance: Array
    """Shape (n_thinnings, n_phases, n_columns, n_columns); abundances free, zeros held."""
    shift: Array
    """Shape (n_thinnings, n_phases, n_columns); from the answer to the likeliest composition."""
    direction: Array
    """Shape (n_thinnings, n_freed, n_phases, n_columns); change of all coefficients for an amount
    of one of the freed weight, all others refitted; zero in rows that are not used."""
    variance: Array
    """Shape (n_thinnings, n_freed); of the amount; positive."""
    best: Array
    """Shape (n_thinnings, n_freed); likeliest amount, negative where counts speak against any."""

    def __post_init__(self) -> None:
        self.validate()

    def validate(self) -> None:
        """Check shapes and variances.

        Raises
        ------
        InputError
        """
        n_thinnings, n_phases, n_columns = self.coefficient.shape
        n_freed = self.direction.shape[1]
        expected = {
            "covariance": (n_thinnings, n_phases, n_columns, n_columns),
            "shift": (n_thinnings, n_phases, n_columns),
            "direction": (n_thinnings, n_freed, n_phases, n_columns),
            "variance": (n_thinnings, n_freed),
            "best": (n_thinnings, n_freed),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"leeway: {name} has shape {getattr(self, name).shape}, expected {shape}"
                )
        if np.any(self.variance <= 0):
            raise InputError("leeway: a variance of a freed amount is not positive")

    def reordered(self, order: NDArray[np.int64]) -> Leeway:
        """The same with the phases in another order."""
        return Leeway(
            self.coefficient[:, order],
            self.covariance[:, order],
            self.shift[:, order],
            self.direction[:, :, order],
            self.variance,
            self.best,
        )

    def fraction_bounds(
        self, phase: int, coefficient: Array, matrix: Array, *, z: float = Z_95
    ) -> tuple[Array, Array]:
        """Ends of the intervals of the shares that amounts have in their sum.

        Parameters
        ----------
        phase : int
        coefficient : ndarray of shape (n_columns,)
            The answer for this phase.
        matrix : ndarray of shape (n_amounts, n_columns)
            Amounts from coefficients: atoms for atomic fractions, masses for weight fractions.
        z : float, optional
            Half the width of the interval in standard deviations.

        Returns
        -------
        low, high : ndarray of shape (n_amounts,)
            From 0 to 1; NaN where the amounts add up to nothing.

        Notes
        -----
        For each thinning the hull of: the answer and the likeliest composition with its zeros,
        with z standard deviations; and, for each coefficient at zero, the compositions with an
        amount of it that costs a deviance d of less than z^2, with sqrt(z^2 - d) standard
        deviations. What comes from other phases is added, and so saturates at their composition.
        The distances to the ends, in the median over thinnings, and the standard deviation between
        thinnings, times the quantile of Student's t that z stands for, add in quadrature, around
        the median of the thinnings. The answer itself, where it is a mean over what is open, always
        lies in the interval.
        """
        value = _fractions(coefficient, matrix)
        found = _fractions(self.coefficient[:, phase], matrix)
        ends = [self._changes(t, phase, matrix, z) for t in range(len(self.coefficient))]
        below, above = np.median(np.array(ends), axis=0)
        scatter = _scatter(found, z)
        centre = np.median(found, axis=0)
        low = np.minimum(value, centre - np.hypot(below, scatter))
        high = np.maximum(value, centre + np.hypot(above, scatter))
        return np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)

    def _changes(self, thinning: int, phase: int, matrix: Array, z: float) -> tuple[Array, Array]:
        """Largest decrease and increase of each share that the counts of a thinning allow."""
        found = self.coefficient[thinning, phase]
        share = _fractions(found, matrix)
        slope = (matrix - np.outer(share, matrix.sum(axis=0))) / max(matrix.sum(0) @ found, 1e-300)
        variance = np.einsum("ei,ij,ej->e", slope, self.covariance[thinning, phase], slope)
        sigma = np.sqrt(np.maximum(variance, 0.0))
        amount, left = self._amounts(thinning, z)
        direction = self.direction[thinning, :, phase]
        direction = direction + self._admixed(thinning, phase)[:, None] * found
        away = amount[..., None] * direction[:, None]
        starts = np.stack([found, found + self.shift[thinning, phase]])
        moved = _fractions(starts[:, None, None] + away, matrix) - share
        shifted = _fractions(starts[1], matrix) - share
        reach = left[..., None] * sigma
        decrease = np.max(reach - moved, axis=(0, 1, 2), initial=-np.inf)
        increase = np.max(reach + moved, axis=(0, 1, 2), initial=-np.inf)
        below = np.maximum(decrease, z * sigma + np.maximum(-shifted, 0.0))
        above = np.maximum(increase, z * sigma + np.maximum(shifted, 0.0))
        return below, above

    def _admixed(self, thinning: int, phase: int) -> Array:
        """How much of other phases comes with an amount of one of each freed weight, (n_freed,).

        A phase into which others are mixed without end becomes their mixture, and no more: what
        comes is added to it. As far as a direction is that of differences of phases, in the sense
        of least squares with every column relative to its largest coefficient, it is taken so.
        """
        all_phases = self.coefficient[thinning]
        largest = all_phases.max(axis=0)
        used = largest > 0
        others = np.delete(all_phases, phase, axis=0) - all_phases[phase]
        relative = (others / np.where(used, largest, 1.0))[:, used]
        wanted = (self.direction[thinning, :, phase] / np.where(used, largest, 1.0))[:, used]
        parts = np.linalg.lstsq(relative.T, wanted.T, rcond=None)[0]
        admixed: Array = np.maximum(parts, 0.0).sum(axis=0)
        return admixed

    def _amounts(self, thinning: int, z: float) -> tuple[Array, Array]:
        """Amounts of each freed weight within z, and what is left of z there.

        Both of shape (n_freed, n_amounts).
        """
        variance, best = self.variance[thinning, :, None], self.best[thinning, :, None]
        unlikely = np.minimum(best, 0.0) ** 2 / variance
        reach = np.sqrt((z**2 + unlikely) * variance)
        first, last = np.maximum(best - reach, 0.0), best + reach
        amount = first + (last - first) * _PLACES
        deviance = (amount - best) ** 2 / variance - unlikely
        return amount, np.sqrt(np.maximum(z**2 - deviance, 0.0))

    def spectrum_sigma(self, columns: Array, *, z: float = Z_95) -> Array:
        """Standard deviations of the phase spectra that cover.

        Parameters
        ----------
        columns : ndarray of shape (n_phases, n_columns, n_energy)
        z : float, optional
            The interval whose larger side is divided by z.

        Returns
        -------
        sigma : ndarray of shape (n_phases, n_energy)

        Notes
        -----
        As in `fraction_bounds`. A spectrum is linear in the coefficients, so that the hull has a
        closed form: with r the change of a channel for an amount of one, x0 and v its likeliest
        value and variance, it is x0 r + sqrt((z^2 + min(x0, 0)^2 / v)(sigma^2 + v r^2)), the
        support of an ellipse, where that point has a positive amount.
        """
        result = np.empty((len(columns), columns.shape[2]))
        for phase, own in enumerate(columns):
            sides = [self._spectrum_reach(t, phase, own, z) for t in range(len(self.coefficient))]
            scatter = _scatter(self.coefficient[:, phase] @ own, z)
            result[phase] = np.hypot(np.median(sides, axis=0), scatter) / z
        return result

    def _spectrum_reach(self, thinning: int, phase: int, columns: Array, z: float) -> Array:
        """The larger change of each channel that the counts of a thinning allow, (n_energy,)."""
        own = self.covariance[thinning, phase]
        squared = np.maximum(np.sum((own @ columns) * columns, axis=0), 0.0)
        shift = self.shift[thinning, phase] @ columns
        change = self.direction[thinning, :, phase] @ columns
        variance, best = self.variance[thinning, :, None], self.best[thinning, :, None]
        factor = np.sqrt(z**2 + np.minimum(best, 0.0) ** 2 / variance)
        root = np.sqrt(squared + variance * change**2)
        largest: Array = np.zeros_like(shift)
        for sign in (1.0, -1.0):
            turned = sign * change
            amount = best * root + factor * variance * turned  # times the root
            reach = np.where(amount > 0, best * turned + factor * root, 0.0)
            most = np.max(reach, axis=0, initial=0.0)
            side = np.maximum(sign * shift, 0.0) + np.maximum(most, z * np.sqrt(squared))
            largest = np.maximum(largest, side)
        return largest


def _fractions(coefficient: Array, matrix: Array) -> Array:
    """Shares of the amounts, negative coefficients as zero; NaN where all are nothing."""
    amounts = np.maximum(coefficient, 0.0) @ matrix.T
    total = amounts.sum(axis=-1, keepdims=True)
    shares: Array = np.full(amounts.shape, np.nan)
    np.divide(amounts, total, out=shares, where=total > 0)
    return shares


def _scatter(values: Array, z: float) -> Array:
    """Half the width of the interval that the scatter between thinnings, the first axis, asks for.

    That of few is known badly: Student's t takes the place of z. Zero for a single one.
    """
    n_thinnings = len(values)
    if n_thinnings < 2:
        return np.zeros_like(values[0])
    reach = float(stdtrit(n_thinnings - 1, ndtr(z)))
    scatter: Array = reach * np.std(values, axis=0, ddof=1)
    return scatter
