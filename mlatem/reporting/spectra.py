# SPDX-License-Identifier: GPL-3.0-or-later
"""The spectra of the phases with the model, and the order of the signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mlatem.model import Basis, Dictionary, Factorization
from mlatem.model.basis import CERTAIN_STRENGTH
from mlatem.reporting.colors import phase_color
from mlatem.reporting.drawing import FONT_PT, INK, finish, new_figure
from mlatem.reporting.inputs import Picture

_WIDTH_IN, _HEIGHT_IN = 11.4, 3.5
_MAX_LABELS_PER_COLUMN = 4
#: A line gets a label where it makes up this share of the model and this many sigma of it.
_LEAST_SHARE, _LEAST_SIGMA = 0.25, 4.0
_N_LEVELS = 4
_DATA, _CONTINUUM, _SYSTEM = "#5B626B", "#C9CDD3", "#8A5A2B"


@dataclass(frozen=True)
class PhaseSpectrum:
    """Counts of the pixels that a phase dominates, or of all, and what the model expects there."""

    energy: NDArray[np.float64]
    counts: NDArray[np.float64]
    parts: NDArray[np.float64]
    """Shape (n_columns, n_energy); expected counts of each column of the dictionary."""

    @classmethod
    def of_phase(cls, factorization: Factorization, phase: int) -> PhaseSpectrum:
        """All phases that are present in the region of `phase` contribute to the model."""
        amounts = factorization.dominant_abundance[phase][:, None] * factorization.coefficient
        return cls(
            factorization.dictionary.energy,
            factorization.dominant_counts[phase],
            np.einsum("kj,kje->je", amounts, factorization.columns),
        )

    @property
    def model(self) -> NDArray[np.float64]:
        """Expected counts, shape (n_energy,)."""
        return np.asarray(self.parts.sum(axis=0))

    @property
    def residual(self) -> NDArray[np.float64]:
        """Signed root of the Poisson deviance, shape (n_energy,), in standard deviations.

        Notes
        -----
        sign(n - m) sqrt(2 (n ln(n / m) - n + m)), McCullagh and Nelder (1989), section 2.4; unlike
        (n - m) / sqrt(m) it is close to normal also where few counts are expected.
        """
        counts, model = self.counts, np.maximum(self.model, 1e-12)
        ratio = np.where(counts > 0, counts, 1.0) / model
        deviance = 2 * (np.where(counts > 0, counts * np.log(ratio), 0.0) - counts + model)
        return np.sign(counts - model) * np.sqrt(np.maximum(deviance, 0.0))

    @property
    def deviance_per_channel(self) -> float:
        """Mean of the squared residual; near 1 where the model explains the counts."""
        return float(np.mean(self.residual**2))


def spectrum_picture(factorization: Factorization, phase: int, *, dpi: int) -> Picture:
    """Counts and model of a phase's region, and the residual below."""
    spectrum = PhaseSpectrum.of_phase(factorization, phase)
    text = f"spectrum of the region of phase {phase + 1} with the model and the residual"
    return fit_picture(
        spectrum, factorization.dictionary, color=phase_color(phase), dpi=dpi, text=text
    )


def fit_picture(
    spectrum: PhaseSpectrum, dictionary: Dictionary, *, color: str, dpi: int, text: str
) -> Picture:
    """Counts and model of a spectrum with the names of its lines, and the residual below."""
    figure = new_figure(_WIDTH_IN, _HEIGHT_IN)
    top = figure.add_axes((0.06, 0.39, 0.93, 0.585))
    bottom = figure.add_axes((0.06, 0.125, 0.93, 0.225), sharex=top)
    _draw_counts(top, spectrum, np.array(dictionary.kinds) == "background", color)
    _label_lines(top, spectrum, dictionary)
    _draw_residual(bottom, spectrum, color)
    return finish(figure, dpi=dpi, text=text)


def _draw_counts(
    axes: Axes, spectrum: PhaseSpectrum, is_background: NDArray[np.bool_], color: str
) -> None:
    energy = spectrum.energy
    continuum = spectrum.parts[is_background].sum(axis=0)
    axes.fill_between(energy, continuum, color=_CONTINUUM, linewidth=0, label="continuum")
    axes.step(energy, spectrum.counts, where="mid", color=_DATA, linewidth=0.7, label="counts")
    axes.plot(energy, spectrum.model, color=color, linewidth=1.3, label="model")
    # Square roots: the noise is equally high everywhere.
    axes.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    largest = max(float(spectrum.counts.max()), float(spectrum.model.max()), 1.0)
    axes.set_ylim(0, 1.35 * largest)
    axes.set_yticks(_round_ticks(largest))
    axes.yaxis.set_major_formatter(lambda v, _: f"{v / 1000:g}k" if v >= 10_000 else f"{v:g}")
    axes.set_xlim(energy[0], energy[-1])
    axes.tick_params(labelbottom=False)
    dress(axes, "counts")
    axes.legend(fontsize=FONT_PT, frameon=False, loc="upper right", ncols=3)


def _round_ticks(largest: float) -> NDArray[np.float64]:
    """Ticks that are evenly spread on a scale of square roots, rounded to one digit."""
    wanted = np.linspace(0, np.sqrt(largest), 6)[1:] ** 2
    power = 10.0 ** np.floor(np.log10(wanted))
    ticks = np.unique(np.concatenate([[0.0], np.round(wanted / power) * power]))
    is_apart = np.diff(np.sqrt(ticks), prepend=-np.inf) > 0.1 * np.sqrt(largest)
    return np.asarray(ticks[is_apart])


def _draw_residual(axes: Axes, spectrum: PhaseSpectrum, color: str) -> None:
    residual = spectrum.residual
    axes.axhspan(-2, 2, color="#EEF0F2", linewidth=0)
    axes.axhline(0, color="#9AA0A8", linewidth=0.6)
    axes.step(spectrum.energy, residual, where="mid", color=color, linewidth=0.7)
    reach = float(np.clip(1.1 * np.abs(residual).max(), 4.0, 15.0))
    axes.set_ylim(-reach, reach)
    dress(axes, "residual / \N{GREEK SMALL LETTER SIGMA}")
    axes.set_xlabel("energy / keV", fontsize=FONT_PT, color=INK)


def dress(axes: Axes, label: str) -> None:
    """Label and style of the axes of a curve."""
    axes.set_ylabel(label, fontsize=FONT_PT, color=INK)
    axes.yaxis.set_label_coords(-0.043, 0.5)
    axes.tick_params(labelsize=FONT_PT, colors=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color("#9AA0A8")


def line_labels(
    spectrum: PhaseSpectrum, dictionary: Dictionary
) -> list[tuple[float, float, str, bool]]:
    """The lines that can be seen, from the maxima of the dictionary's columns.

    Returns
    -------
    labels : list of (energy, height, element, is_system)
        Energy of the file's axis; height of the counts or the model there; highest first.
    """
    model = spectrum.model
    labels = []
    for part, kind, element in zip(
        spectrum.parts, dictionary.kinds, dictionary.elements, strict=True
    ):
        if not element or not part.any():
            continue
        # Padded, that a line at the end of the window is a maximum too.
        peaks = _peaks(np.pad(part, 1)) - 1
        is_seen = part[peaks] > _LEAST_SHARE * model[peaks]
        is_seen &= part[peaks] > _LEAST_SIGMA * np.sqrt(model[peaks])
        peaks = peaks[is_seen]
        highest = peaks[np.argsort(part[peaks])[::-1][:_MAX_LABELS_PER_COLUMN]]
        labels += [
            (
                float(spectrum.energy[i]),
                float(max(model[i], spectrum.counts[i])),
                element,
                kind == "system",
            )
            for i in highest
        ]
    return sorted(labels, key=lambda label: -label[1])


def _peaks(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the maxima that are not at an end; of a flat one its middle."""
    steps = np.flatnonzero(np.diff(values))
    rises = np.diff(values)[steps] > 0
    tops = np.flatnonzero(rises[:-1] & ~rises[1:])
    return np.asarray((steps[tops] + 1 + steps[tops + 1]) // 2)


def _label_lines(axes: Axes, spectrum: PhaseSpectrum, dictionary: Dictionary) -> None:
    """Write the elements above their lines, higher where a label is in the way."""
    taken: list[tuple[float, float]] = []
    for energy, height, element, is_system in line_labels(spectrum, dictionary):
        x, y = axes.transData.transform((energy, height))
        # In units of 1/72 inch, as the letters.
        scale = 72 / axes.figure.dpi
        x, y = x * scale, y * scale + 3
        for _ in range(_N_LEVELS):
            if all(abs(x - other_x) > 12 or abs(y - other_y) > 9 for other_x, other_y in taken):
                break
            y += 10
        else:
            continue
        taken.append((x, y))
        base = axes.transData.transform((energy, height))[1] * scale
        axes.annotate(
            f"{element}*" if is_system else element,
            (energy, height),
            xytext=(0, y - base),
            textcoords="offset points",
            ha="center",
            fontsize=FONT_PT,
            color=_SYSTEM if is_system else INK,
            fontstyle="italic" if is_system else "normal",
            annotation_clip=False,
        )


def scree_picture(basis: Basis, *, dpi: int) -> Picture:
    """The eigenvalues inside and outside the dictionary's span, and the edges of the noise."""
    parts = [("outside the dictionary's span", basis.scree_residual, basis.edge_residual, False)]
    if basis.scree_in_span.size:
        parts.insert(0, ("in the dictionary's span", basis.scree_in_span, basis.edge_in_span, True))
    figure = new_figure(3.0 * len(parts), 2.7)
    for number, (title, values, edge, in_span) in enumerate(parts):
        left = 0.17 / len(parts) + number / len(parts)
        axes = figure.add_axes((left, 0.17, 0.78 / len(parts), 0.7))
        _draw_scree(axes, values[:30], edge, "#0072B2" if in_span else "#D55E00")
        axes.set_title(title, fontsize=FONT_PT + 1, color=INK, loc="left")
    return finish(figure, dpi=dpi, text="eigenvalues of the signal and the edges of the noise")


def _draw_scree(axes: Axes, values: NDArray[np.float64], edge: float, color: str) -> None:
    """Eigenvalues over the edge; those that noise made negative are left out."""
    unit = edge if np.isfinite(edge) and edge > 0 else 1.0
    order, ratio = np.arange(1, values.size + 1), values / unit
    is_kept = ratio > 1
    axes.plot(order[is_kept], ratio[is_kept], "o", color=color, markersize=4.5)
    axes.plot(order[~is_kept], ratio[~is_kept], "o", color=color, markersize=4, fillstyle="none")
    axes.axhline(1.0, color=INK, linewidth=0.8, linestyle="--")
    axes.axhline(CERTAIN_STRENGTH, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(0.05, 2.0 * max(float(ratio.max(initial=1.0)), 5.0))
    axes.set_xlim(0.3, max(values.size, 5) + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("order", fontsize=FONT_PT, color=INK)
    axes.set_ylabel("eigenvalue / noise edge", fontsize=FONT_PT, color=INK)
    axes.tick_params(labelsize=FONT_PT - 1, colors=INK, length=3)
    axes.tick_params(which="minor", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
