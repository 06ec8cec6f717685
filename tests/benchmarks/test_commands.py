"""Every benchmark can be started: what its help and the documents show as examples is what it takes.

A module that lost an import, or an option that was renamed, would be found by nobody until its figures are needed.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

import benchmarks

MODULES = sorted(found.name for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.") if not found.name.endswith("__main__"))
ROOT = Path(benchmarks.__path__[0]).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = re.compile(r"python (?:-m (benchmarks[.\w]+)|(benchmarks/[/\w]+)\.py)([^`\n]*)")


class Parsed(Exception):
    """The arguments were understood; nothing was run."""


def start_of(name: str) -> Callable[[], object] | None:
    """What `python -m NAME` calls; None = the module is no command."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__") if (Path(module.__path__[0]) / "__main__.py").is_file() else module
    return getattr(module, "main", None)


COMMANDS = {name: start for name in MODULES if (start := start_of(name)) is not None}


def examples_in(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Module and arguments of each command of ours in a text; what stands in brackets may be left out, and is kept."""
    joined = re.sub(r"(?<!`)`[^`]+`(?!`)", lambda quoted: quoted[0].replace("\n", " "), re.sub(r"\\\n\s*", " ", text))
    found = []
    for module, path, rest in EXAMPLE.findall(joined):
        arguments = shlex.split(re.sub(r"[\[\]]", "", rest), comments=True)
        found.append((module or path.replace("/", "."), tuple(arguments)))
    return found


IN_PAGES = sorted({(page.relative_to(ROOT).as_posix(), *example) for page in PAGES for example in examples_in(page.read_text())})


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Sequence[str]], None]:
    """Starts a benchmark with arguments, up to where it has understood them."""
    understand = argparse.ArgumentParser.parse_args

    def stop(parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        understand(parser, *arguments)
        raise Parsed

    def start(name: str, arguments: Sequence[str]) -> None:
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
        monkeypatch.setattr("sys.argv", [name, *arguments])
        COMMANDS[name]()

    return start


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_what_there_is_and_says_what_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_shows_examples_that_are_understood(
    name: str, parse: Callable[[str, Sequence[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(name, ["--help"])
    indented = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    python ")]
    shown = [arguments for module, arguments in examples_in("\n".join(indented)) if module == name]
    assert (left.value.code, bool(shown)) == (0, True)
    for arguments in shown:
        with pytest.raises(Parsed):
            parse(name, arguments)


@pytest.mark.parametrize(("page", "name", "arguments"), IN_PAGES)
def test_a_command_in_the_documents_is_understood(
    page: str, name: str, arguments: Sequence[str], parse: Callable[[str, Sequence[str]], None]
) -> None:
    with pytest.raises(Parsed):
        parse(name, arguments)


def test_what_a_benchmark_does_not_know_is_refused(parse: Callable[[str, Sequence[str]], None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse("benchmarks.gate", ["--no-such-option"])
    assert (left.value.code, "--no-such-option" in capsys.readouterr().err) == (2, True)
