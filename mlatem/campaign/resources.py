# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and time that a job of the workflow asks a cluster for.

Pure arithmetic on the size of a dataset. The coefficients follow from what each step holds, and
were fitted to peaks of simulated maps (`benchmarks/resources.py`); a test holds the projection
against peaks measured anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlatem.errors import InputError

#: Two nested Snakemakes run within a job of SLURM before any work is done.
ENGINE_MB = 300
#: On top of what was measured, which does not know other versions of libraries.
_MARGIN = 1.2
#: Of a job that is tried again, over the attempt before.
_MORE_MEMORY, _MORE_TIME = 1.6, 2.0
#: Of a dataset that shares a job with others, beside what its size takes: several times 30 s.
_FURTHER_MINUTES = 3.0

_BYTES_PER_MB = 1e6
#: Counts of a map that a step keeps between its passes, at most.
_RESIDENT_MB = 1074
#: Bytes in memory, 3 for each count, of what takes one byte in a store, at most.
_RESIDENT_OF_STORED = 7.5

_SHARD_PIXELS = 128
_SHARD_PIXELS_LONG = 64
_LONG_SPECTRUM = 4096


@dataclass(frozen=True)
class Extent:
    """The size of a dataset, as far as it is known before a job."""

    n_pixels: int
    """Pixels of the map."""
    n_energy: int
    """Channels of a spectrum."""
    stored_bytes: int
    """Bytes of the counts on disk; of the raw files before the conversion."""

    @property
    def stored_mb(self) -> float:
        """Size on disk, MB."""
        return self.stored_bytes / _BYTES_PER_MB

    @property
    def matrix_mb(self) -> float:
        """A matrix of channels times channels, in double precision, MB."""
        return self.n_energy**2 * 8 / _BYTES_PER_MB

    @property
    def resident_mb(self) -> float:
        """The counts that a factorisation keeps, MB."""
        dense = 3 * self.n_pixels * self.n_energy / _BYTES_PER_MB
        counts = min(dense, _RESIDENT_OF_STORED * self.stored_mb, _RESIDENT_MB)
        return counts + 16 * self.n_pixels / _BYTES_PER_MB

    def tiles_mb(self, threads: int) -> float:
        """The tiles that are worked on at a time, dense, two bytes a count, MB."""
        side = _SHARD_PIXELS_LONG if self.n_energy >= _LONG_SPECTRUM else _SHARD_PIXELS
        pixels = min(self.n_pixels, threads * side**2)
        return pixels * self.n_energy * 2 / _BYTES_PER_MB

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.n_pixels / 1e6


def extent_of_raw(n_bytes: int) -> Extent:
    """A guess from the size of the raw files alone: few counts a pixel, many channels."""
    return Extent(n_pixels=max(n_bytes // 30, 1), n_energy=4096, stored_bytes=n_bytes)


@dataclass(frozen=True)
class _Needs:
    """What a step holds beside its libraries, as multiples of parts of the data."""

    base_mb: float
    """Libraries, tables and what does not grow with the data."""
    tiles: float = 0.0
    """Of the tiles that are worked on at a time."""
    resident: float = 0.0
    """Of the counts that are kept."""
    matrices: float = 0.0
    """Of a matrix of channels times channels."""
    stored: float = 0.0
    """Of the counts, or raw files, on disk."""
    mb_per_channel: float = 0.0
    mb_per_megapixel: float = 0.0
    minutes: float = 4.0
    """Time that does not grow with the data."""
    minutes_per_megapixel: float = 0.0
    """At 2048 channels."""
    minutes_per_stored_mb: float = 0.0


_NEEDS = {
    # Compressed HDF5 takes 3 s for a MB, an array as it is 0.02 s.
    "convert": _Needs(230, tiles=1.5, stored=1, minutes_per_stored_mb=0.02),
    "calibrate": _Needs(330, tiles=1.1, stored=10, mb_per_channel=0.03, minutes_per_megapixel=20),
    "denoise": _Needs(330, tiles=2, matrices=3.5, mb_per_megapixel=40, minutes_per_megapixel=20),
    "factorize": _Needs(
        330,
        tiles=1.5,
        resident=1,
        matrices=2,
        mb_per_megapixel=750,
        minutes=8,
        minutes_per_megapixel=60,
    ),
    "place_regions": _Needs(300, tiles=2, minutes_per_megapixel=10),
    "pool_regions": _Needs(300, tiles=2, matrices=1, minutes_per_megapixel=20),
    "solve_compositions": _Needs(330, matrices=2, mb_per_channel=0.05, minutes=30),
    "fit_abundances": _Needs(330, tiles=1.5, mb_per_megapixel=600, minutes_per_megapixel=30),
    "merge": _Needs(330, mb_per_megapixel=1350, minutes_per_megapixel=5),
    "find_rare_phases": _Needs(
        300, tiles=2.5, resident=1, mb_per_megapixel=650, minutes_per_megapixel=30
    ),
    "quantify": _Needs(300, mb_per_megapixel=800, minutes_per_megapixel=20),
    "report": _Needs(380, tiles=1, mb_per_megapixel=700, minutes_per_megapixel=20),
}

#: Stages that share a job of a cluster (see `shared_job`), one after the other.
GROUPED = ("calibrate", "denoise", "factorize", "find_rare_phases", "quantify", "report")
#: The rule that is all stages in one process, and those.
_WHOLE = "analyse"
_STAGES = ("convert", *GROUPED)

#: A process beside that of the job, in which tiles are worked on: its libraries, and matrices of
#: tiles that wait.
_PROCESS_MB, _PROCESS_MATRICES = 240.0, 3.0

#: Rules whose need is known.
RULES = (*_NEEDS, _WHOLE)


def shared_job(rule: str, *, blocks: int = 1) -> str | None:
    """Name of the job of a cluster that a stage shares with others; None for a job of its own.

    Parameters
    ----------
    rule : str
        Of the workflow.
    blocks : int, optional
        Jobs of the factorisation: where they are several, the stages after it wait for them, and
        cannot share a job with the stages before it.
    """
    if rule not in GROUPED:
        return None
    is_late = GROUPED.index(rule) > GROUPED.index("factorize")
    return "results" if is_late and blocks > 1 else "analysis"


def memory_mb(rule: str, extent: Extent, threads: int = 1, attempt: int = 1) -> int:
    """Memory that a job asks for, MB.

    Parameters
    ----------
    rule : str
        Of the workflow.
    extent : Extent
        Size of the dataset.
    threads : int, optional
        Tiles worked on at a time.
    attempt : int, optional
        1, and more for a job that failed before.

    Raises
    ------
    InputError
        If the rule is not known.
    """
    return math.ceil(work_mb(rule, extent, threads) * _MORE_MEMORY ** (attempt - 1)) + ENGINE_MB


def part_memory_mb(extents: Sequence[Extent], threads: int = 1, attempt: int = 1) -> int:
    """Memory of a job that analyses datasets one after the other, MB: that of the largest."""
    return max(memory_mb(_WHOLE, extent, threads, attempt) for extent in extents)


def part_runtime_min(
    extents: Sequence[Extent],
    threads: int = 1,
    attempt: int = 1,
    *,
    limit_min: int | None = None,
) -> int:
    """Time of a job that analyses datasets one after the other, minutes.

    What one needs beside its size is mostly that a job may be slow to start, and counts once; of
    each further dataset a part of it.
    """
    minutes = [_minutes(_WHOLE, extent, threads) for extent in extents]
    start = _minutes(_WHOLE, Extent(0, 0, 0), threads)
    total = start + sum(one - start + _FURTHER_MINUTES for one in minutes)
    wanted = math.ceil(total * _MORE_TIME ** (attempt - 1))
    return min(wanted, limit_min or wanted)


def processes_mb(rule: str, extent: Extent, n_processes: int) -> int:
    """What a job needs on top where its tiles are worked on by processes, MB.

    The tiles themselves and the counts that are kept take no more than on threads.

    Parameters
    ----------
    rule, extent
        As for `memory_mb`.
    n_processes : int
        Started by the job; 1 is none beside its own.

    Raises
    ------
    InputError
        If the rule is not known.
    """
    needs = [_needs_of(stage) for stage in (_STAGES if rule == _WHOLE else (rule,))]
    if n_processes == 1 or not any(one.tiles or one.matrices for one in needs):
        return 0
    matrices = _PROCESS_MATRICES if any(one.matrices for one in needs) else 0.0
    each = _PROCESS_MB + matrices * extent.matrix_mb
    return math.ceil(_MARGIN * n_processes * each)


def work_mb(rule: str, extent: Extent, threads: int = 1) -> float:
    """Peak of memory of a step's own process, with a margin, MB."""
    if rule == _WHOLE:
        # Not all that a stage held goes back before the next begins.
        return max(work_mb(stage, extent, threads) for stage in _STAGES) + 100
    needs = _needs_of(rule)
    return _MARGIN * (
        needs.base_mb
        + needs.tiles * extent.tiles_mb(threads)
        + needs.resident * extent.resident_mb
        + needs.matrices * extent.matrix_mb
        + needs.stored * extent.stored_mb
        + needs.mb_per_channel * extent.n_energy
        + needs.mb_per_megapixel * extent.megapixels
    )


def runtime_min(
    rule: str,
    extent: Extent,
    threads: int = 1,
    attempt: int = 1,
    *,
    limit_min: int | None = None,
) -> int:
    """Time that a job asks for, minutes: several times what it took on a busy machine.

    Parameters
    ----------
    rule, extent, threads, attempt
        As for `memory_mb`.
    limit_min : int, optional
        Longest time of a job; the times of stages that share one add up to no more.

    Raises
    ------
    InputError
        If the rule is not known.
    """
    more = _MORE_TIME ** (attempt - 1)
    minutes = _minutes(rule, extent, threads) * more
    if limit_min is None:
        return math.ceil(minutes)
    together = GROUPED if rule in GROUPED else (rule,)
    total = sum(_minutes(one, extent, threads) for one in together) * more
    if total + len(together) <= limit_min:
        return math.ceil(minutes)
    return max(math.floor(minutes * limit_min / total), 1)


def _minutes(rule: str, extent: Extent, threads: int) -> float:
    if rule == _WHOLE:
        return sum(_minutes(stage, extent, threads) for stage in _STAGES)
    needs = _needs_of(rule)
    at_2048_channels = extent.megapixels * extent.n_energy / 2048
    return (
        needs.minutes
        + needs.minutes_per_megapixel * at_2048_channels / threads
        + needs.minutes_per_stored_mb * extent.stored_mb
    )


def _needs_of(rule: str) -> _Needs:
    if rule not in _NEEDS:
        raise InputError(
            f"rule {rule!r} has no projection of its memory: known: {', '.join(RULES)}"
        )
    return _NEEDS[rule]
