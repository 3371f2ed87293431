# SPDX-License-Identifier: GPL-3.0-or-later
"""What a solve decided by itself and how far its answer can be trusted, for the report."""

from __future__ import annotations

from mlatem import settings
from mlatem.factorization.solver import CompositionSolution
from mlatem.model import Decision, Verdict

#: Thinnings that disagree by more caught most wrong answers on simulated specimens.
_SPREAD_LIMIT_DEG = 6.0
_STAGE = "factorize"


def decisions(solution: CompositionSolution, options: settings.Factorize) -> tuple[Decision, ...]:
    """The number of phases, and why."""
    reason = f"given; the pooled spectra carry {solution.n_carried} above the noise"
    if options.n_phases == "auto":
        reason = (
            "axes of the pooled spectra above the noise edge, in the dictionary's span; it is a "
            "rank: a solid solution without end members counts as two"
        )
    noun = "phase" if solution.n_phases == 1 else "phases"
    return (
        Decision(
            _STAGE,
            f"{solution.n_phases} {noun}",
            reason,
            "column n_phases, factorize.n_phases",
        ),
    )


def verdicts(solution: CompositionSolution) -> tuple[Verdict, ...]:
    """Whether the solve converged, whether independent halves agree, and the number of phases."""
    spread = float(solution.spread_deg.max())
    agree = spread <= _SPREAD_LIMIT_DEG
    enough = solution.n_phases <= solution.n_carried
    return (
        Verdict(
            "agreement of the thinnings",
            spread,
            _SPREAD_LIMIT_DEG,
            "deg",
            "good" if agree else "warning",
            "random halves of the photons give the same phases"
            if agree
            else "random halves of the photons give different phases: ask for fewer phases, or "
            "take the compositions as one of several answers",
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
