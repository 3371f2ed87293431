# SPDX-License-Identifier: GPL-3.0-or-later
"""Compositions of the other answer, whose phases absorb in themselves too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlatem import settings
from mlatem.factorization.geometry import Atoms
from mlatem.factorization.geometry_class import question
from mlatem.factorization.own_columns import OwnColumns
from mlatem.factorization.pooled import Array, PooledData
from mlatem.factorization.solution import CompositionSolution
from mlatem.factorization.sparsity import abundances_at
from mlatem.model import Ambiguity, Dictionary

_ROUNDS = 3


def opened_in_itself(
    opened: Ambiguity,
    data: PooledData,
    solution: CompositionSolution,
    dictionary: Dictionary,
    own_columns: OwnColumns | None,
    log_factor: Array,
) -> Ambiguity:
    """The record with the other answer's coefficients for columns of its own compositions.

    Parameters
    ----------
    opened : Ambiguity
        With coefficients for the columns of the dictionary.
    data : PooledData
        With the columns of the answer.
    solution : CompositionSolution
        The answer.
    dictionary : Dictionary
    own_columns : callable, optional
        None where all phases have the dictionary's columns: nothing changes.
    log_factor : ndarray of shape (n_factors,)

    Notes
    -----
    How the counts of a phase are shared by its columns hardly depends on the absorption; the
    number of atoms that they stand for does. The shares are kept, the numbers are iterated.
    """
    if own_columns is None or solution.phase_columns is None:
        return opened
    weight = opened.alternative_coefficient * opened.alternative_scale
    abundance = abundances_at(data, weight, settings.Factorize()).abundance
    scale: Array = solution.phase_columns.sum(axis=-1)
    for _ in range(_ROUNDS):
        parts = own_columns(weight / scale, abundance, data.n_pixels)
        scale = parts.columns(log_factor).sum(axis=-1)
    asked = ""
    if opened.question:
        atoms = Atoms(dictionary.quantified, np.ones(dictionary.n_columns))
        pairs = zip(dictionary.names, dictionary.quantified, strict=True)
        asked = question(
            atoms.fractions(solution.coefficient),
            atoms.fractions(weight / scale),
            opened.is_alone,
            [name for name, used in pairs if used],
        )
    return replace(
        opened, alternative_coefficient=weight / scale, alternative_scale=scale, question=asked
    )
