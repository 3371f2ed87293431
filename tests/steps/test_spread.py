# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a campaign says where its jobs work on tiles."""

import pytest

from mlatem.errors import ConfigError
from mlatem.parallel.workers import current_workers
from mlatem.steps.spread import as_configured


def test_a_job_has_as_many_processes_as_threads():
    with as_configured({"workflow": {"dask": "processes"}}, threads=3):
        workers = current_workers()
        assert (workers.dask, workers.n_workers, workers.n_here) == ("processes", 3, 3)
    assert current_workers() is None


def test_workers_of_a_scheduler_share_no_memory_of_the_job():
    with as_configured({"workflow": {"dask": "tcp://node7:8786"}}, threads=3):
        assert (current_workers().dask, current_workers().n_here) == ("tcp://node7:8786", 1)


@pytest.mark.parametrize("config", [{}, {"workflow": {"jobs": "stage"}}, {"workflow": None}])
def test_threads_are_the_default(config):
    with as_configured(config, threads=3):
        assert current_workers() is None


def test_a_misspelt_place_is_refused():
    with pytest.raises(ConfigError, match=r"expected threads, processes.*found 'forks'"):
        as_configured({"workflow": {"dask": "forks"}}, threads=3)
