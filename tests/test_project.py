# SPDX-License-Identifier: GPL-3.0-or-later
"""The files around the code agree with each other and with pyproject.toml."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

#: Packages of another name in conda channels than on Python's index.
CONDA_NAMES = {
    "dask": "dask-core",
    "matplotlib": "matplotlib-base",
    "snakemake": "snakemake-minimal",
}

#: Packages that are imported by another name than they are installed by.
IMPORT_NAMES = {"pywavelets": "pywt", "pyyaml": "yaml", "rosettasciio": "rsciio"}

#: Extras of packages that MLATEM runs without.
OPTIONAL_EXTRAS = {"hyperspy"}

SPDX = "# SPDX-License-Identifier: GPL-3.0-or-later"


def source_files() -> list[Path]:
    folders = ("mlatem", "tests", "workflow", "examples", "benchmarks", "docs")
    found = [
        path
        for folder in folders
        for pattern in ("*.py", "*.smk")
        for path in (ROOT / folder).rglob(pattern)
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    return [*found, ROOT / "Snakefile", ROOT / "Makefile", ROOT / ".ci" / "run"]


def pip_requirements() -> list[Requirement]:
    texts = list(PROJECT["dependencies"])
    for name, extra in PROJECT["optional-dependencies"].items():
        texts += [] if name in OPTIONAL_EXTRAS else extra
    return [Requirement(text) for text in texts]


def conda_requirements() -> dict[str, Requirement]:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    texts = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    return {Requirement(text).name: Requirement(text) for text in texts}


def test_every_source_file_names_the_licence():
    without = []
    for path in source_files():
        lines = path.read_text(encoding="utf-8").splitlines()[:2]
        first = lines[1:] if lines and lines[0].startswith("#!") else lines
        if first[:1] != [SPDX]:
            without.append(str(path.relative_to(ROOT)))
    assert not without, f"add the line {SPDX!r} at the top of {', '.join(without)}"


def test_conda_environment_has_the_packages_and_bounds_of_pyproject():
    conda = conda_requirements()
    for pip in pip_requirements():
        name = canonicalize_name(pip.name)
        name = CONDA_NAMES.get(name, name)
        assert name in conda, f"environment.yml lacks {name}"
        assert conda[name].specifier == pip.specifier, f"environment.yml, {name}"


def test_conda_environment_has_nothing_else():
    ours = {canonicalize_name(pip.name) for pip in pip_requirements()}
    ours = {CONDA_NAMES.get(name, name) for name in ours}
    ours |= {package for pip in pip_requirements() for package in packages_of_extras(pip)}
    assert set(conda_requirements()) == ours | {"python", "pip"}
    assert str(conda_requirements()["python"].specifier) == PROJECT["requires-python"]


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_containers_hold_what_the_workflow_needs(name):
    recipe = (ROOT / "containers" / name).read_text(encoding="utf-8")
    assert "pip install --no-cache-dir '/opt/mlatem[slurm]'" in recipe
    (version,) = re.findall(r"python:(\d+\.\d+)-slim", recipe)
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    for part in ("pyproject.toml", "README.md", "LICENSE", "Snakefile"):
        assert part in recipe
    for folder in ("mlatem", "workflow", "profiles"):
        assert f"{folder} /opt/mlatem/{folder}" in recipe
    for option in ("/opt/mlatem/Snakefile", "/opt/mlatem/profiles/local"):
        assert option in recipe


def packages_of_extras(requirement: Requirement) -> set[str]:
    """Packages that the extras of a requirement bring; conda has no extras and names them."""
    if not requirement.extras:
        return set()
    own = [Requirement(text) for text in requires(requirement.name) or []]
    return {
        canonicalize_name(part.name)
        for part in own
        for extra in requirement.extras
        if part.marker and part.marker.evaluate({"extra": extra})
    }


def test_extras_of_the_readers_exist_and_do_not_pin_zarr_2():
    readers = next(pip for pip in pip_requirements() if pip.name == "rosettasciio")
    assert "zspy" not in readers.extras
    assert packages_of_extras(readers) == {"h5py", "numba", "sparse"}


def imported_by(folder: str) -> set[str]:
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"mlatem"}


def test_the_package_imports_what_it_declares():
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    importable = {IMPORT_NAMES.get(name, name) for name in declared}
    # pydantic_core belongs to pydantic, llvmlite to numba; the workflow, not the package, runs on
    # snakemake; the vendor readers are imported by name, one at a time.
    imported = imported_by("mlatem") - {"pydantic_core", "llvmlite"} - OPTIONAL_EXTRAS
    imported -= {"distributed"}  # of the extra `spread`, imported where it is asked for
    assert imported <= importable, "declare these in pyproject.toml"
    assert importable - imported <= {"snakemake", "rsciio"}, (
        "these are declared, but nothing imports them"
    )


def test_citation_file():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    required = {"cff-version", "message", "title", "authors", "version", "license", "type"}
    assert required <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert all("name" in author or "family-names" in author for author in citation["authors"])


def test_changelog_has_sections_of_known_kinds():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[(Unreleased|\d+\.\d+\.\d+\])", text, flags=re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_installed_version_is_that_of_the_project():
    import mlatem

    assert mlatem.__version__ == PROJECT["version"]


def test_typed_marker_is_installed():
    assert (files("mlatem") / "py.typed").is_file()


def test_readme_commands_are_targets_and_run_in_ci():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for target in ("test", "demo"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)
        assert re.search(rf"^make {target}$", ci, flags=re.MULTILINE)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_pre_commit_runs_the_linters_of_make():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook["entry"].split()[0] for repo in config["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(hooks) == {"ruff", "snakefmt", "codespell", "validate-pyproject"}
    for tool in hooks:
        assert f"$(BIN)/{tool}" in makefile


def test_import_needs_no_workflow_engine():
    code = "import mlatem, sys; sys.exit('snakemake' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
