# SPDX-License-Identifier: GPL-3.0-or-later
#
# Where workflow.datasets_per_job is more than 1: a job, and a process, for several rows of the
# sheet. For thousands of maps that take seconds. Its results are no outputs of the job, which
# Snakemake would remove with the one that failed: the script tells by DONE.json what is finished.


PARTS = dict(CAMPAIGN.parts())

if workflow.is_main_process:
    # A mark whose datasets are not all there is worth nothing, nor is that of the campaign.
    for part, names in PARTS.items():
        mark = Path("results", ".parts", f"{part}.json")
        if mark.exists() and not all(
            Path("results", name, "DONE.json").exists() for name in names
        ):
            mark.unlink(missing_ok=True)
            Path("results", "DONE.json").unlink(missing_ok=True)


def of_part(files):
    """Files that the datasets of a part depend on."""

    def found(wildcards):
        names = PARTS[wildcards.part]
        paths = [p for name in names for p in files(SimpleNamespace(dataset=name))]
        return list(dict.fromkeys(paths))

    return found


def part_memory(wildcards, threads, attempt):
    extents = [CAMPAIGN.extent(name) for name in PARTS[wildcards.part]]
    wanted = resources.part_memory_mb(extents, threads, attempt)
    return min(wanted, CAMPAIGN.settings.workflow.max_memory_mb or wanted)


def part_minutes(wildcards, threads, attempt):
    extents = [CAMPAIGN.extent(name) for name in PARTS[wildcards.part]]
    limit = CAMPAIGN.settings.workflow.max_minutes
    return resources.part_runtime_min(extents, threads, attempt, limit_min=limit)


rule analyse_part:
    """From the raw files of several datasets to their pages."""
    input:
        of_part(raw_files),
        of_part(mask_file),
        of_part(factor_and_detector_files),
        of_part(priors_files),
    output:
        "results/.parts/{part}.json",
    log:
        "logs/.parts/{part}.log",
    # A second thread gains nothing on maps that are so small.
    threads: 1
    resources:
        mem_mb=part_memory,
        runtime=part_minutes,
    params:
        rows=lambda wildcards: {
            name: CAMPAIGN.rows[name] for name in PARTS[wildcards.part]
        },
        settings=SETTINGS_OF_RESULTS,
    script:
        "../scripts/analyse_part.py"
