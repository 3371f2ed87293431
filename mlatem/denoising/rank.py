# SPDX-License-Identifier: GPL-3.0-or-later
"""The axes that hold signal: above the noise edge, inside and outside the dictionary's span."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlatem import settings
from mlatem.denoising.edge import FACTOR_IN_SPAN, FACTOR_RESIDUAL, bulk_edge, noise_edge
from mlatem.denoising.eigen import Product, eigenpairs_of_few_products, leading_eigenpairs
from mlatem.errors import InputError
from mlatem.model import Basis, Decision, Dictionary, StreamedMoment, TileStatistics
from mlatem.model.basis import CERTAIN_STRENGTH

#: Channels count as if they held at least this many counts times sqrt(pixels / channels). With
#: fewer, a chance pair of photons in one pixel would rise above the edge by itself.
_FLOOR = 8.0

_SCREE_SIZE = 30
_RELATIVE_RANK = 1e-8


@dataclass(frozen=True)
class _Axes:
    """Candidates from one subspace, by decreasing eigenvalue."""

    eigenvalue: NDArray[np.float64]
    vectors: NDArray[np.float64]
    """Shape (n_channels, n_axes)."""
    edge: float
    in_span: bool


def low_rank(
    statistics: TileStatistics | StreamedMoment,
    dictionary: Dictionary | None = None,
    options: settings.Denoise | None = None,
    *,
    energy: ArrayLike | None = None,
) -> Basis:
    """Axes of the signal of a map, by the noise edge.

    Parameters
    ----------
    statistics : TileStatistics or StreamedMoment
        Of all tiles of the map.
    dictionary : Dictionary, optional
        On the same channels. Its span is where a weak signal is looked for: with some thirty
        columns instead of thousands of channels the noise edge, hence the faintest phase that is
        seen, is several times lower.
    options : settings.Denoise, optional
        Rank by the edge (up to `max_rank`), or a number.
    energy : array-like of shape (n_energy,), optional
        Channels' energies where there is no dictionary.

    Returns
    -------
    basis : Basis
        At least one axis, the mean spectrum; then by decreasing eigenvalue over edge.

    Raises
    ------
    InputError
        If the map has no counts, or the dictionary has another number of channels.

    Notes
    -----
    With q the mean spectrum, w = q^-1/2 and d the sum of y / g over n pixels, the whitened and
    Poisson-debiased moment is C = w (sum y y^T / g - diag d) w (Liu, Dobriban & Singer 2018, Ann.
    Appl. Stat. 12, 2121). Noise of m channels has mean zero in C and eigenvalues up to
    (sqrt n + sqrt m)^2 - n (Marchenko & Pastur 1967, Math. USSR Sb. 1, 457); channels with hardly
    any counts weigh less in w and count in part in m. The mean spectrum is set apart; the rest is
    diagonalised within the dictionary's span, m the rank of the dictionary, and outside of it,
    where axes mean an element that is missing or a wrong calibration and where the edge follows
    the bulk of the eigenvalues if that ends higher (see `bulk_edge`).
    """
    options = options or settings.Denoise()
    _check(statistics, dictionary)
    used = np.flatnonzero(statistics.total > 0)
    weights = _whitening(statistics)
    moment = _Moment(statistics, weights, used)
    signal = statistics.signal if isinstance(statistics, TileStatistics) else None
    mean = ((statistics.total if signal is None else signal) * weights)[used]
    mean /= np.linalg.norm(mean)
    span = dictionary_span(mean, dictionary, weights, used)
    n_pixels = statistics.n_pixels
    edge_in_span = FACTOR_IN_SPAN * noise_edge(n_pixels, moment.noise_inside(span))
    n_wanted = options.rank if isinstance(options.rank, int) else options.max_rank
    inside = _inside(moment, span[:, 1:], edge_in_span)
    outside = _outside(moment, span, n_pixels, max(_SCREE_SIZE, n_wanted))
    first = _Axes(
        np.array([mean @ moment.times(mean)]),
        mean[:, None],
        outside.edge if dictionary is None else edge_in_span,
        in_span=dictionary is not None,
    )
    eigenvalue, edge, in_span, vectors = _select(first, (inside, outside), options)
    axes = np.zeros((len(eigenvalue), weights.size))
    axes[:, used] = vectors.T
    return Basis(
        axes=axes,
        weights=weights,
        eigenvalue=eigenvalue,
        edge=edge,
        in_span=in_span,
        energy=_energy(weights.size, dictionary, energy),
        n_pixels=n_pixels,
        scree_in_span=inside.eigenvalue,
        scree_residual=outside.eigenvalue,
        edge_in_span=float("nan") if dictionary is None else edge_in_span,
        edge_residual=outside.edge,
    )


def rank_decision(basis: Basis, options: settings.Denoise) -> Decision:
    """How many axes were kept and why, for the report."""
    if isinstance(options.rank, int):
        return Decision("denoise", f"{basis.rank} axes", f"set to {options.rank}", "denoise.rank")
    n_residual = np.count_nonzero(basis.scree_residual > basis.edge_residual)
    n_in_span = np.count_nonzero(basis.scree_in_span > basis.edge_in_span)
    if np.isnan(basis.edge_in_span):
        reason = f"the mean spectrum and {n_residual} axes above the noise edge"
    else:
        reason = (
            f"the mean spectrum, {n_in_span} axes above the noise edge in the span of the "
            f"dictionary and {n_residual} outside of it"
        )
    if 1 + n_in_span + n_residual > basis.rank:
        reason += f", cut to denoise.max_rank = {options.max_rank}"
    near = [str(k + 1) for k in np.flatnonzero(basis.is_uncertain)]
    if near:
        reason += f"; uncertain, below {CERTAIN_STRENGTH:g} times the edge: axis {', '.join(near)}"
    return Decision("denoise", f"{basis.rank} axes", reason, "denoise.rank")


def _check(statistics: TileStatistics | StreamedMoment, dictionary: Dictionary | None) -> None:
    statistics.validate()
    if statistics.n_pixels == 0:
        raise InputError(
            "the map has no counts: check that the right file and window of energies were chosen"
        )
    if dictionary is not None and dictionary.energy.size != statistics.total.size:
        raise InputError(
            f"dictionary has {dictionary.energy.size} channels and the counts "
            f"{statistics.total.size}: compute the statistics on the dictionary's window"
        )


def _whitening(statistics: TileStatistics | StreamedMoment) -> NDArray[np.float64]:
    """q^-1/2 with a floor; 0 for channels without counts."""
    total = statistics.total
    used = total > 0
    floor = _FLOOR * np.sqrt(statistics.n_pixels / np.count_nonzero(used))
    weights = np.sqrt(total.sum() / np.maximum(total, max(floor, 1.0)))
    return np.where(used, weights, 0.0)


class _Moment:
    """The whitened, debiased moment on the channels with counts, never formed as a matrix."""

    def __init__(
        self,
        statistics: TileStatistics | StreamedMoment,
        weights: NDArray[np.float64],
        used: NDArray[np.intp],
    ) -> None:
        self.is_streamed = isinstance(statistics, StreamedMoment)
        self._times = _products(statistics, used)
        self._weights = weights[used]
        self._bias = statistics.weighted_total[used] * self._weights**2
        fraction = statistics.total[used] / statistics.total.sum()
        self._variance = fraction * self._weights**2
        self.size = used.size

    def noise_inside(self, span: NDArray[np.float64]) -> float:
        """Variance of a pixel's noise in a span: 1 per dimension where no channel is floored."""
        return float(np.sum(self._variance[:, None] * span**2))

    def noise_outside(self, span: NDArray[np.float64]) -> float:
        """Variance of a pixel's noise outside of a span."""
        return max(0.0, float(np.sum(self._variance)) - self.noise_inside(span))

    def times(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Product with one vector or with columns, shape kept."""
        weights, bias = self._weights, self._bias
        if vectors.ndim == 2:
            weights, bias = weights[:, None], bias[:, None]
        product: NDArray[np.float64] = weights * self._times(weights * vectors)
        return product - bias * vectors


def _products(statistics: TileStatistics | StreamedMoment, used: NDArray[np.intp]) -> Product:
    """Products with the moment on the channels with counts."""
    if isinstance(statistics, TileStatistics):
        everywhere = used.size == statistics.total.size
        moment = statistics.moment if everywhere else statistics.moment[np.ix_(used, used)]
        return lambda vectors: moment @ vectors
    streamed = statistics

    def times(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = np.zeros((streamed.total.size, vectors.size // used.size))
        columns[used] = vectors.reshape(used.size, -1)
        product: NDArray[np.float64] = streamed.times(columns)[used].reshape(vectors.shape)
        return product

    return times


def dictionary_span(
    mean: NDArray[np.float64] | None,
    dictionary: Dictionary | None,
    weights: NDArray[np.float64],
    used: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Orthonormal columns: the mean spectrum, if given, then the rest of the whitened span."""
    first = np.zeros((used.size, 0)) if mean is None else mean[:, None]
    if dictionary is None:
        return first
    columns = (dictionary.columns * weights)[:, used].T
    norm = np.linalg.norm(columns, axis=0)
    columns = columns[:, norm > 0] / norm[norm > 0]
    for _ in range(2):  # Twice is enough for orthogonality to rounding.
        columns -= first @ (first.T @ columns)
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return np.column_stack([first, left[:, singular > _RELATIVE_RANK]])


def _inside(moment: _Moment, span: NDArray[np.float64], edge: float) -> _Axes:
    """Eigenpairs within the span."""
    if not span.shape[1]:
        return _Axes(np.zeros(0), span, edge, in_span=True)
    values, vectors = np.linalg.eigh(span.T @ moment.times(span))
    return _Axes(values[::-1], span @ vectors[:, ::-1], edge, in_span=True)


def _outside(moment: _Moment, span: NDArray[np.float64], n_pixels: int, n_wanted: int) -> _Axes:
    """Leading eigenpairs of the moment projected off the span."""

    def without_span(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return vector - span @ (span.T @ vector)

    def times(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        return without_span(moment.times(without_span(vector)))

    n_channels = moment.size - span.shape[1]
    of_noise = FACTOR_RESIDUAL * noise_edge(n_pixels, moment.noise_outside(span))
    if moment.is_streamed:
        # The end of the bulk is known too coarsely to be fitted.
        values, vectors = eigenpairs_of_few_products(times, span, min(n_wanted, n_channels))
        edge = of_noise
    else:
        values, vectors = leading_eigenpairs(times, span, min(n_wanted, n_channels))
        edge = max(of_noise, bulk_edge(values, min(n_pixels, n_channels)))
    return _Axes(values, vectors, edge, in_span=False)


def _select(
    first: _Axes, others: tuple[_Axes, ...], options: settings.Denoise
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Eigenvalue, edge, whether in the span, and vectors of the axes that are kept."""
    parts = (first, *others)
    eigenvalue = np.concatenate([part.eigenvalue for part in parts])
    edge = np.concatenate([np.full(part.eigenvalue.size, part.edge) for part in parts])
    in_span = np.concatenate([np.full(part.eigenvalue.size, part.in_span) for part in parts])
    vectors = np.hstack([part.vectors for part in parts])
    strength = eigenvalue[1:] / edge[1:]
    order = np.argsort(-strength, kind="stable")
    if isinstance(options.rank, int):
        n_others = options.rank - 1
    else:
        n_others = min(int(np.count_nonzero(strength > 1.0)), options.max_rank - 1)
    kept = np.concatenate([[0], 1 + order[:n_others]])
    chosen = vectors[:, kept]
    # Eigenvectors have no sign of their own: it must not depend on tiling or library.
    largest = np.take_along_axis(chosen, np.argmax(np.abs(chosen), axis=0)[None, :], axis=0)
    return eigenvalue[kept], edge[kept], in_span[kept], chosen * np.sign(largest)


def _energy(
    n_energy: int, dictionary: Dictionary | None, energy: ArrayLike | None
) -> NDArray[np.float64]:
    if dictionary is not None:
        return dictionary.energy
    if energy is None:
        return np.arange(n_energy, dtype=np.float64)
    axis = np.asarray(energy, dtype=np.float64)
    if axis.shape != (n_energy,):
        raise InputError(f"energy axis has shape {axis.shape}, expected ({n_energy},)")
    return axis
