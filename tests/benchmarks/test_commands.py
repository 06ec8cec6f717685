"""Every benchmark can be started: a module that lost an import would be found by nobody until its figures are needed."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks

MODULES = sorted(found.name for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.") if not found.name.endswith("__main__"))


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_imports_what_there_is(name: str) -> None:
    importlib.import_module(name)
