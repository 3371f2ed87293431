# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory and time that jobs ask for. Measured peaks: tests/workflow/test_campaign_runs.py."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlatem.campaign.folder import Campaign
from mlatem.campaign.resources import (
    ENGINE_MB,
    GROUPED,
    RULES,
    Extent,
    extent_of_raw,
    memory_mb,
    part_memory_mb,
    part_runtime_min,
    processes_mb,
    runtime_min,
)
from mlatem.errors import InputError
from mlatem.settings import Settings

#: No test looks at the clock.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

extents = st.builds(
    Extent,
    n_pixels=st.integers(1, 10**8),
    n_energy=st.integers(1, 8192),
    stored_bytes=st.integers(0, 10**11),
)


@PATIENT
@given(rule=st.sampled_from(RULES), extent=extents, threads=st.integers(1, 64))
def test_larger_data_ask_for_no_less(rule, extent, threads):
    larger = Extent(2 * extent.n_pixels, extent.n_energy, 2 * extent.stored_bytes)
    assert memory_mb(rule, larger, threads) >= memory_mb(rule, extent, threads)
    assert runtime_min(rule, larger, threads) >= runtime_min(rule, extent, threads)


@PATIENT
@given(rule=st.sampled_from(RULES), extent=extents)
def test_another_attempt_asks_for_more_of_the_work_alone(rule, extent):
    first, second, third = (memory_mb(rule, extent, 2, attempt) for attempt in (1, 2, 3))
    assert ENGINE_MB < first < second < third
    assert second - ENGINE_MB == pytest.approx(1.6 * (first - ENGINE_MB), abs=2)
    assert runtime_min(rule, extent, 2, 2) >= 2 * runtime_min(rule, extent, 2, 1) - 1


@PATIENT
@given(extent=extents, attempt=st.integers(1, 5), limit=st.integers(10, 10_000))
def test_no_job_asks_for_more_time_than_there_is(extent, attempt, limit):
    times = {r: runtime_min(r, extent, 2, attempt, limit_min=limit) for r in RULES}
    assert max(times.values()) <= limit
    assert sum(times[rule] for rule in GROUPED) <= limit
    assert min(times.values()) >= 1


@PATIENT
@given(extent=extents)
def test_what_a_step_keeps_of_the_counts_is_bounded(extent):
    """However large the map: the passes keep one GiB, and 16 bytes a pixel beside."""
    assert extent.resident_mb - 16 * extent.megapixels <= 2**30 / 1e6 + 1


@PATIENT
@given(extent=extents, n_processes=st.integers(2, 64))
def test_processes_need_their_libraries_and_matrices_on_top(extent, n_processes):
    one = processes_mb("find_rare_phases", extent, n_processes) / n_processes
    assert 200 < one < 400
    more = processes_mb("denoise", extent, n_processes) / n_processes
    assert more - one == pytest.approx(1.2 * 3 * extent.matrix_mb, abs=2)
    assert processes_mb("analyse", extent, n_processes) == processes_mb(
        "denoise", extent, n_processes
    )
    assert processes_mb("quantify", extent, n_processes) == 0
    assert processes_mb("denoise", extent, 1) == 0


def test_tiles_are_bounded_by_the_map_and_the_threads():
    small = Extent(32 * 40, 1024, 10**6)
    assert small.tiles_mb(1) == small.tiles_mb(8) == pytest.approx(32 * 40 * 1024 * 2 / 1e6)
    large = Extent(1024 * 1024, 2048, 10**8)
    assert large.tiles_mb(2) == pytest.approx(2 * large.tiles_mb(1))


def test_an_unknown_rule_is_named():
    with pytest.raises(InputError, match="rule 'cook'"):
        memory_mb("cook", extent_of_raw(1))
    with pytest.raises(InputError, match="rule 'cook'"):
        runtime_min("cook", extent_of_raw(1))


@pytest.fixture
def campaign(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.emd").write_bytes(bytes(3000))
    (tmp_path / "raw" / "b.prz").mkdir()
    (tmp_path / "raw" / "b.prz" / "part").write_bytes(bytes(60))
    rows = {
        "a": {"dataset": "a", "path": "raw/a.emd; raw/a.emd"},
        "b": {"dataset": "b", "path": "raw/b.prz"},
        "lost": {"dataset": "lost", "path": "raw/lost.emd"},
    }
    return Campaign(tmp_path, Settings(), rows)


def store(campaign: Campaign, dataset: str, shape: list[int]) -> None:
    counts = campaign.root / "results" / dataset / "spim.zarr" / "edxs" / "counts"
    counts.mkdir(parents=True, exist_ok=True)
    (counts / "zarr.json").write_text(json.dumps({"shape": shape}))


def test_before_the_conversion_the_raw_files_tell_the_size(campaign):
    assert campaign.extent("a") == extent_of_raw(6000)
    assert campaign.extent("b") == extent_of_raw(60)
    assert campaign.extent("lost") == extent_of_raw(0)


def test_after_the_conversion_the_store_tells_it(campaign):
    campaign.extent("a")
    store(campaign, "a", [20, 30, 1024])
    found = campaign.extent("a")
    assert (found.n_pixels, found.n_energy) == (600, 1024)
    assert found.stored_bytes > 0


def test_a_damaged_store_tells_nothing(campaign):
    store(campaign, "a", [20, 30])
    assert campaign.extent("a") == extent_of_raw(6000)


def test_datasets_that_share_a_job_need_the_memory_of_the_largest_and_time_one_by_one():
    small, large = Extent(256, 512, 10_000), Extent(256**2, 2048, 4_000_000)
    alone = memory_mb("analyse", large)
    assert part_memory_mb([small, large, small]) == alone
    assert part_memory_mb([small, large], attempt=2) > alone
    one = part_runtime_min([small])
    twenty = part_runtime_min([small] * 20)
    assert runtime_min("analyse", small) <= one < twenty < 20 * one
    assert part_runtime_min([small] * 20, attempt=2) >= 2 * twenty - 1
    assert part_runtime_min([small] * 20, limit_min=30) == 30
