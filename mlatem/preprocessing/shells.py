# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sub-shells may shine brighter or fainter than the tables say, and by how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlatem.model import Dictionary

Array = NDArray[np.float64]

#: Prior standard deviation of a sub-shell's intensity relative to the strongest of its family, over
#: that of the family: both stem from Coster-Kronig rates and yields.
_SUBSHELL_SHARE = 0.5
#: A family can be an element's reference where it stands this many sigma above the noise.
_SEEN_SIGMA = 10.0
#: A factor is fitted where the data know it better than the prior does by itself.
_LEAST_INFORMATION = 0.1


@dataclass(frozen=True)
class Shells:
    """Columns by sub-shell, and the amounts of which they are parts."""

    names: tuple[str, ...]
    """Names of the columns in the dictionary that is split by sub-shell."""
    keys: tuple[str, ...]
    """As line factors are called, "Pt M5"; "" for continuum and pile-up. So for the others."""
    amount: NDArray[np.int64]
    """The amount to which a column belongs: an element, or a family of the instrument."""
    family_sigma: Array
    """Prior standard deviation of the intensity of the family."""
    reference: Array
    """Shape (n_columns, n_energy); the columns where the layout was made."""

    @classmethod
    def of_dictionary(cls, split: Dictionary) -> Shells:
        """The layout of a dictionary that is split by sub-shell."""
        keys = tuple(name.removesuffix(" (system)") for name in split.names)
        owners = [
            element
            if kind == "line"
            else key.rstrip("12345") + " (system)"
            if kind == "system"
            else name
            for name, key, kind, element in zip(
                split.names, keys, split.kinds, split.elements, strict=True
            )
        ]
        order = list(dict.fromkeys(owners))
        return cls(
            split.names,
            tuple(k if e else "" for k, e in zip(keys, split.elements, strict=True)),
            np.array([order.index(owner) for owner in owners]),
            split.factor_sigma,
            split.columns,
        )

    @property
    def n_amounts(self) -> int:
        """Number of amounts."""
        return int(self.amount.max()) + 1

    def family(self, column: int) -> str:
        """Family of a column: K, L or M; "" for continuum and pile-up."""
        return self.keys[column].split()[-1][0] if self.keys[column] else ""

    def aligned(self, split: Dictionary) -> Array:
        """The columns of another axis in this order.

        A family at the edge of the window may lack there: it then stays as it was.
        """
        if split.names == self.names:
            return split.columns
        found = dict(zip(split.names, split.columns, strict=True))
        rows = [found.get(name, old) for name, old in zip(self.names, self.reference, strict=True)]
        return np.array(rows)

    def joined(self, columns: Array, factor: Array) -> Array:
        """Columns of the amounts, shape (n_amounts, n_energy), with a factor on every sub-shell."""
        share = np.zeros((self.n_amounts, len(self.names)))
        share[self.amount, np.arange(len(self.names))] = factor
        total: Array = share @ columns
        return total

    def factor_sigma(self, coefficient: Array, factor: Array, weight: Array) -> tuple[Array, Array]:
        """Prior standard deviations of the sub-shells' factors; 0 where a factor stays at one.

        Parameters
        ----------
        coefficient : ndarray of shape (n_amounts,)
        factor : ndarray of shape (n_columns,)
            On the sub-shells in the fit that gave the coefficients.
        weight : ndarray of shape (n_energy,)
            Of the channels in the fit.

        Returns
        -------
        sigma : ndarray of shape (n_columns,)
            The strongest sub-shell of an element's reference family stays at one: that family
            whose intensity is known best among those that are seen. So does what the data do not
            know better than the prior.
        common : ndarray of shape (n_columns,)
            The part of it that the sub-shells of a family have in common: the error of the family
            against the reference. What is left is that of a sub-shell within its family.
        """
        parts = (factor * coefficient[self.amount])[:, None] * self.reference
        model = np.maximum(parts.sum(axis=0), 1e-9 * parts.sum(axis=0).max())
        information = (parts**2 * (weight / model)).sum(axis=1)
        sigma, common = np.zeros(len(self.names)), np.zeros(len(self.names))
        for amount in range(self.n_amounts):
            members = [int(k) for k in np.flatnonzero(self.amount == amount) if self.keys[k]]
            if members:
                self._fill(sigma, common, members, parts.sum(axis=1), information)
        free = sigma**2 * information > _LEAST_INFORMATION
        return np.where(free, sigma, 0.0), np.where(free, common, 0.0)

    def _fill(
        self,
        sigma: Array,
        common: Array,
        members: list[int],
        counts: Array,
        information: Array,
    ) -> None:
        families: dict[str, list[int]] = {}
        for member in members:
            families.setdefault(self.family(member), []).append(member)
        seen = {
            name: own
            for name, own in families.items()
            if sum(information[k] for k in own) > _SEEN_SIGMA**2
        }
        reference = min(
            seen or families,
            key=lambda name: (
                self.family_sigma[families[name][0]],
                -sum(counts[k] for k in families[name]),
            ),
        )
        known = self.family_sigma[families[reference][0]]
        for name, own in families.items():
            strongest = max(own, key=lambda k: counts[k])
            own_sigma = self.family_sigma[own[0]]
            between = 0.0 if name == reference else np.hypot(own_sigma, known)
            for member in own:
                within = 0.0 if member == strongest else _SUBSHELL_SHARE * own_sigma
                sigma[member], common[member] = np.hypot(between, within), between
