# SPDX-License-Identifier: GPL-3.0-or-later

from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

from mlatem.campaign import resources
from mlatem.campaign.claim import cancel_orphans, claim
from mlatem.campaign.folder import load as load_campaign
from mlatem.errors import MlatemError
from mlatem.sheet import ACQUISITION_COLUMNS, AXES_COLUMNS, PIXEL_COLUMNS

try:
    CAMPAIGN = load_campaign(config)
except MlatemError as error:
    raise WorkflowError(str(error)) from None

DATASETS = list(CAMPAIGN.rows)

#: Files that say that datasets are finished: of each, or of those that share a job.
MARKS = (
    [f"results/.parts/{part}.json" for part, _ in CAMPAIGN.parts()]
    if CAMPAIGN.settings.workflow.datasets_per_job > 1
    else [f"results/{name}/DONE.json" for name in DATASETS]
)


wildcard_constraints:
    # Not the names themselves: of thousands of them the pattern would take minutes.
    dataset="[A-Za-z0-9][A-Za-z0-9._-]*",
    part="[0-9]+",


def raw_files(wildcards):
    """The raw files that exist; the convert job of a dataset names those that are missing."""
    return [
        path for path in CAMPAIGN.raw_paths(wildcards.dataset) if Path(path).exists()
    ]


def mask_file(wildcards):
    """The mask of a dataset if it exists; the convert job names one that is missing."""
    path = CAMPAIGN.mask_path(wildcards.dataset)
    return [path] if path and Path(path).exists() else []


def factor_and_detector_files(wildcards):
    """Tables of factors and of the detector that exist; the calibrate job names the missing."""
    named = (
        CAMPAIGN.factor_path(wildcards.dataset),
        CAMPAIGN.settings.edxs.detector.efficiency_file,
    )
    return [path for path in named if path and Path(path).exists()]


def priors_files(wildcards):
    """Priors and the files that they name, as far as they exist; the solve names the missing."""
    path = CAMPAIGN.priors_path(wildcards.dataset)
    if not path:
        return []
    # Every job of a cluster reads these rules twice: what few campaigns need is loaded for them.
    from mlatem.io.priors import files_of

    return [file for file in files_of(path) if Path(file).exists()]


def priors_places(wildcards):
    """What the priors say of places, for params: other changes do not pool the map again."""
    path = CAMPAIGN.priors_path(wildcards.dataset)
    if not path:
        return None
    from mlatem.io.priors import places_of

    return places_of(path)


def priors_masks(wildcards):
    """Masks of regions, on which the pooling depends."""
    return [file for file in priors_files(wildcards) if file.endswith(".npy")]


def row(*columns):
    """Cells of the sample sheet that a rule depends on, for its params."""
    return lambda wildcards: CAMPAIGN.cells(wildcards.dataset, columns)


def section(name):
    """Section of the configuration that a rule depends on, for its params."""
    return getattr(CAMPAIGN.settings, name).model_dump(mode="json")


def memory(stage):
    """Memory that a rule asks for, MB, by the size of the dataset and the attempt."""

    def mem_mb(wildcards, threads, attempt):
        extent = CAMPAIGN.extent(wildcards.dataset)
        wanted = resources.memory_mb(stage, extent, threads, attempt)
        if CAMPAIGN.settings.workflow.dask == "processes":
            wanted += resources.processes_mb(stage, extent, threads)
        return min(wanted, CAMPAIGN.settings.workflow.max_memory_mb or wanted)

    return mem_mb


def minutes(stage):
    """Time that a rule asks for, minutes, by the size of the dataset and the attempt."""

    def runtime(wildcards, threads, attempt):
        extent = CAMPAIGN.extent(wildcards.dataset)
        limit = CAMPAIGN.settings.workflow.max_minutes
        return resources.runtime_min(stage, extent, threads, attempt, limit_min=limit)

    return runtime


def begin_run():
    """Claim the results for this run, and cancel what a killed one left on the cluster."""
    try:
        globals()["CLAIM"] = claim(Path("results"), Path.cwd())
    except MlatemError as error:
        raise WorkflowError(str(error)) from None
    for number in cancel_orphans(Path(".snakemake") / "log"):
        logger.info(f"Cancelled job {number} of an earlier run that was killed.")


#: All settings but those that decide no result of a dataset.
SETTINGS_OF_RESULTS = CAMPAIGN.settings.model_dump(
    mode="json", exclude={"workflow": True, "report": {"title"}}
)


def write_index_of_failed_run():
    """Show what finished and what failed, with the reason, after a run that did not complete."""
    from mlatem.steps.index import index

    if "CLAIM" not in globals():
        return
    index(
        CAMPAIGN.rows,
        results="results",
        logs="logs",
        title=CAMPAIGN.settings.report.title,
    )
