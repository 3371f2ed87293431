# SPDX-License-Identifier: GPL-3.0-or-later
"""What a solve decided by itself and how far its answer can be trusted, for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mlatem import settings
from mlatem.factorization.solution import CompositionSolution
from mlatem.model import Ambiguity, Decision, Verdict
from mlatem.model.prior_conflicts import OF_ALL
from mlatem.model.verdict import Status

#: Thinnings that disagree by more caught most wrong answers on simulated specimens.
_SPREAD_LIMIT_DEG = 6.0
_STAGE = "factorize"
_NAMED_FACTORS = 4

_MEANING = {
    "PURE": "every phase occurs alone somewhere: its composition is that of places without the "
    "others",
    "WEAK": "what a phase that nowhere occurs alone shares with what is around it rests on a "
    "single element",
    "OPEN": "the counts allow other compositions too: see both answers in the report",
}
_STATUS: dict[str, Status] = {
    "PURE": "good",
    "CORNER": "good",
    "WEAK": "warning",
    "OPEN": "warning",
}


def decisions(
    solution: CompositionSolution,
    options: settings.Factorize,
    priors: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Decision, ...]:
    """The number of phases and how they lie, and why.

    Priors are what is known of each named phase, in words (`prior_conflicts.in_words`).
    """
    reason = f"given; the pooled spectra carry {solution.n_carried} above the noise"
    if options.n_phases == "auto":
        reason = (
            "axes of the pooled spectra above the noise edge, in the dictionary's span; it is a "
            "rank: a solid solution without end members counts as two"
        )
    noun = "phase" if solution.n_phases == 1 else "phases"
    decided = () if solution.ambiguity is None else (_geometry(solution.ambiguity, priors or {}),)
    return (
        *_names(solution),
        Decision(
            _STAGE,
            f"{solution.n_phases} {noun}",
            f"{reason}{_unseen(solution)}",
            "column n_phases, factorize.n_phases",
        ),
        *decided,
        *_factors_decision(solution),
    )


def _unseen(solution: CompositionSolution) -> str:
    """What to say where neighbouring pixels share more than the phases explain."""
    if solution.n_coherent <= solution.n_phases:
        return ""
    return (
        f"; neighbouring pixels share {solution.n_coherent} axes above the noise: the others are "
        "phases too faint for the pooled spectra, or gradual changes such as of thickness"
    )


def _geometry(opened: Ambiguity, priors: Mapping[str, Sequence[str]]) -> Decision:
    """Which reading of the map was taken, and what would settle it."""
    alone = [str(phase + 1) for phase in range(len(opened.is_alone)) if opened.is_alone[phase]]
    if opened.is_alone.all():
        choice = "phases occur alone (contiguous)"
    elif alone:
        choice = f"phase {', '.join(alone)} occurs alone, the others do not (embedded)"
    else:
        choice = "no phase occurs alone (embedded)"
    settle = f". To settle: {opened.question}" if opened.question else ""
    told = "; ".join(f"{name}: {', '.join(words)}" for name, words in priors.items() if name)
    known = f", with what is known beforehand ({told})" if told else ""
    by = " in the priors" if priors.get(OF_ALL) else ""
    return Decision(
        _STAGE,
        f"{opened.geometry_class}: {choice}",
        f"{opened.reason}{by}{known}{settle}",
        "column priors, column geometry, factorize.geometry",
    )


def _openness(opened: Ambiguity) -> Verdict:
    """How far the answer is settled: the share of the phase that is least alone."""
    settle = f". To settle: {opened.question}" if opened.question else ""
    if opened.is_given:
        message = f"{opened.reason}; by itself, the map would be {opened.geometry_class}"
    else:
        meaning = _MEANING.get(opened.geometry_class, opened.reason)
        message = f"{opened.geometry_class}: {meaning}{settle}"
    return Verdict(
        "geometry",
        float(100 * opened.purity.min()),
        None,
        "% alone",
        "good" if opened.is_given else _STATUS[opened.geometry_class],
        message,
    )


def _names(solution: CompositionSolution) -> tuple[Decision, ...]:
    """Which phase is which of those that priors name."""
    named = [f"phase {i} is {name}" for i, name in enumerate(solution.phase_names, 1) if name]
    if not named:
        return ()
    return (
        Decision(
            _STAGE,
            ", ".join(named),
            "of all assignments of the named phases the one that costs least likelihood",
            "column priors",
        ),
    )


def _costs(solution: CompositionSolution) -> tuple[Verdict, ...]:
    """What each prior costs against the data."""
    if solution.prior_deviance is None or solution.prior_limit is None:
        return ()
    parts = zip(solution.phase_names, solution.prior_deviance, solution.prior_limit, strict=True)
    return tuple(
        Verdict(
            f"prior of {name}",
            float(cost),
            float(limit),
            "deviance",
            "good" if cost <= limit else "warning",
            "the data do not contradict what is known of the phase"
            if cost <= limit
            else "the data contradict what is known of the phase, which is kept: check its prior, "
            "and the elements and the number of phases",
        )
        for name, cost, limit in parts
        if name
    )


def _factors_decision(solution: CompositionSolution) -> tuple[Decision, ...]:
    """What became of the intensities of lines; nothing where all are as tabulated."""
    if not solution.line_factors:
        return ()
    values = {name: factor for name, (factor, *_) in solution.line_factors.items()}
    by_change = sorted(values, key=lambda name: -abs(math.log(values[name])))
    named = ", ".join(f"{name} {values[name]:.2f}" for name in by_change[:_NAMED_FACTORS])
    noun = "sub-shell" if len(values) == 1 else "sub-shells"
    return (
        Decision(
            _STAGE,
            f"intensities of {len(values)} {noun} fitted together with the phases; furthest from "
            f"the tables: {named}",
            "each phase absorbs these lines in its own composition, which the sum of all does not "
            "show",
            "calibrate.line_factors, column thickness_nm",
        ),
    )


def verdicts(solution: CompositionSolution) -> tuple[Verdict, ...]:
    """Whether the solve converged, whether independent halves agree, and the number of phases."""
    spread = float(solution.spread_deg.max())
    agree = spread <= _SPREAD_LIMIT_DEG
    fewer = "ask for fewer phases, or " if solution.n_phases > 1 else ""
    enough = solution.n_phases <= solution.n_carried
    open_ = () if solution.ambiguity is None else (_openness(solution.ambiguity),)
    return (
        Verdict(
            "agreement of the thinnings",
            spread,
            _SPREAD_LIMIT_DEG,
            "deg",
            "good" if agree else "warning",
            "random halves of the photons give the same phases"
            if agree
            else f"random halves of the photons give different phases: {fewer}take the "
            "compositions as one of several answers",
        ),
        Verdict(
            "phases above the noise",
            float(solution.n_carried),
            float(solution.n_phases),
            "phases",
            "good" if enough else "warning",
            "the data carry as many phases as were asked for"
            if enough
            else "more phases were asked for than stand out of the noise: the weakest may be noise",
        ),
        Verdict(
            "convergence",
            float(solution.n_rounds),
            None,
            "rounds",
            "good" if solution.converged else "bad",
            solution.reason or "all fits converged",
        ),
        *open_,
        *_costs(solution),
    )


def of_pixels(n_unconverged: int, n_pixels: int) -> tuple[Verdict, ...]:
    """What to say of pixels whose abundances did not converge; nothing if there are none."""
    if not n_unconverged:
        return ()
    return (
        Verdict(
            "pixels that converged",
            float(n_pixels - n_unconverged),
            float(n_pixels),
            "pixels",
            "warning",
            f"the abundances of {n_unconverged} pixels did not converge: check that the counts are "
            "raw and their model fits (map of the deviance)",
        ),
    )
