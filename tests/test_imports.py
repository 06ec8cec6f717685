"""The import arrows of the house, and what a server may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("recsys", "segmentation", "serving", "offline_eval", "segrec")

MAY_IMPORT = {
    "segmentation": set(),
    "recsys": {"segmentation"},
    "offline_eval": {"recsys", "segmentation"},
    "serving": {"recsys", "segmentation", "offline_eval"},
    "segrec": {"recsys", "segmentation", "serving", "offline_eval"},
}
FORBIDDEN = {
    "segmentation": ("grpc", "google"),
    "recsys": ("grpc", "google", "offline_eval", "serving", "segrec"),
    "offline_eval": ("grpc", "google", "recsys.training", "recsys.synthetic"),
    "serving": ("recsys.training", "recsys.synthetic", "implicit"),
    "segrec": (),
}
PLANTED = "recsys.synthetic"
"""The shop whose truth is known; only the command line, tests and benchmarks may know it."""

OF_PLANTED = ("recsys.types", "recsys.errors", "recsys.keys", "recsys.data", "recsys.processes")
"""All that it may know of us."""

LAYERS = (
    {"types", "errors", "keys", "arrays"},
    {"config", "customer_config", "source_config", "feature_config", "protocols", "data", "threads", "processes"},
    {"text", "features"},
    {"candidates", "ranking", "selection", "strategy", "experiment"},
    {"bundle"},
    {"engine"},
    {"training"},
    {"synthetic"},
)
"""Inside recsys, upward only: a module imports from its own layer and those before it."""


def _files(package: str) -> list[Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if "pb" not in path.parts]


def _imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the whole name of the module"
            yield node.module or "", node


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _layer(module: str) -> int:
    part = module.split(".")[1]
    return next(number for number, names in enumerate(LAYERS) if part in names)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_the_house_allows(package: str) -> None:
    wrong = []
    for path in _files(package):
        for module, node in _imports(path):
            top = module.split(".")[0]
            outside = top in PACKAGES and top != package and top not in MAY_IMPORT[package]
            forbidden = any(module == name or module.startswith(f"{name}.") for name in FORBIDDEN[package])
            only_ab = package == "serving" and top == "offline_eval" and not module.startswith("offline_eval.ab")
            if outside or forbidden or only_ab:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {module}")
    assert wrong == []


def test_inside_recsys_imports_go_upward_only() -> None:
    wrong = []
    for path in _files("recsys"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if len(parts) == 2 and parts[1] == "__init__":
            continue
        own = _layer(".".join(parts))
        for module, node in _imports(path):
            if module.startswith("recsys.") and _layer(module) > own:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {module}")
    assert wrong == []


def test_what_knows_the_truth_knows_only_types_and_data() -> None:
    wrong = []
    for path in sorted((ROOT / "recsys" / "synthetic").rglob("*.py")):
        for module, node in _imports(path):
            ours = module.split(".")[0] in PACKAGES
            if ours and not any(_is_in(module, allowed) for allowed in (PLANTED, *OF_PLANTED)):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {module}")
    assert wrong == []


@pytest.mark.parametrize("package", ["recsys", "segmentation", "offline_eval", "serving"])
def test_nothing_that_trains_or_answers_knows_the_truth(package: str) -> None:
    wrong = []
    for path in _files(package):
        if path.is_relative_to(ROOT / "recsys" / "synthetic"):
            continue
        for module, node in _imports(path):
            named = [f"{module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else [module]
            if any(_is_in(name, PLANTED) for name in named):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {module}")
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_our_own_modules_are_imported_at_the_top(package: str) -> None:
    wrong = []
    for path in _files(package):
        tree = ast.parse(path.read_text())
        top_level = {node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
        ours = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES)
        wrong += [f"{path.relative_to(ROOT)}:{node.lineno}: {node.module}" for node in ours if node not in top_level]
    assert wrong == []


def test_only_the_index_imports_faiss() -> None:
    users = [
        str(path.relative_to(ROOT)) for package in PACKAGES for path in _files(package) for module, _ in _imports(path) if module == "faiss"
    ]
    assert set(users) == {"recsys/text/index.py"}


def test_loading_a_bundle_and_answering_imports_no_training_library(small_bundle: Path) -> None:
    script = f"""
import datetime, sys
from pathlib import Path
import serving.server
from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.types import Query
bundle = Bundle.load(Path({str(small_bundle)!r}))
now = datetime.datetime(2024, 7, 1, tzinfo=datetime.UTC)
answer = Engine(bundle).recommend(Query(k=5, time=now, customer_id="c1"), Snapshot.of(bundle))
assert len(answer.items) == 5 and answer.trace.degraded == (), answer
heavy = [name for name in ("torch", "transformers", "pandas", "implicit") if name in sys.modules]
sys.exit(", ".join(heavy) or None)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_idle_threads_sleep_from_the_first_import_on() -> None:
    script = "import os, recsys; assert os.environ['OMP_WAIT_POLICY'] == 'passive'"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
