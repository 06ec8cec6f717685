"""The README is run: its commands, its Python client against a real server, its grpcurl request, its TOML."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from google.protobuf import json_format

from recsys.config import Config, parse_config
from recsys.data.schema import TABLES
from segrec.cli import main
from serving.pb.recsys.v1 import recommender_pb2 as pb

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SEGREC = 'segrec() { "$PYTHON" -c "from segrec.cli import main; main()" "$@"; }\n'
"""The command as the README calls it, also where the package is not installed."""


def blocks(language: str, mark: str = "") -> list[str]:
    """Fenced blocks of the README in a language, with their marks; only those under a comment with the given words, if any."""
    comment = f"<!-- {re.escape(mark)} -->\n" if mark else ""
    return re.findall(rf"^{comment}```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """stdout of a command; its stderr is in the failure."""
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "PYTHONUTF8": "1"}


@contextmanager
def server(bundles: Path) -> Iterator[str]:
    """`segrec serve` on a free port, which is given; it must stop well."""
    command = [sys.executable, "-c", "from segrec.cli import main; main()", "serve", str(bundles), "--port", "0"]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            port = next((found[1] for line in process.stderr if (found := re.search(r"^serving bundle .*:(\d+)$", line))), None)
            assert port is not None, "the server ended before it served"
            yield port
        finally:
            process.terminate()
        assert process.wait() == 0


def test_the_commands_of_the_readme_run_from_csv_files_to_a_grpc_answer(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = blocks("sh", "run")
    assert [len(re.findall(r"^segrec ", block, re.MULTILINE)) for block in commands] == [1, 5]
    printed = [run(["bash", "-euo", "pipefail", "-c", SEGREC + block], tmp_path) for block in commands]

    imported = "\n".join(line.rstrip() for line in printed[0].splitlines())
    assert imported.strip() == blocks("text", "exact output")[0].strip()
    for words in ("engine against", "time of each stage", "pair_rate_14d", "all checksums hold", "guest, strategy product"):
        assert words in printed[1]

    (client,) = blocks("python", "run against a server")
    with server(tmp_path / "bundles" / "mine") as port:
        patient = client.replace("127.0.0.1:50051", f"127.0.0.1:{port}").replace("timeout=0.3", "timeout=60")
        assert patient.count(port) == patient.count("timeout=60") == 1
        answer = run([sys.executable, "-c", patient], tmp_path).splitlines()
    assert answer[0].startswith("product ")
    assert [line.split()[0] for line in answer[1:]] == ["1", "2", "3"]
    assert all(line.split()[1].startswith(("COF-", "SWE-")) for line in answer[1:])
    assert "COF-203" not in {line.split()[1] for line in answer[1:]}


def test_the_grpcurl_request_is_one_that_the_service_has() -> None:
    (command,) = [block for block in blocks("sh") if block.startswith("grpcurl")]
    words = shlex.split(command.replace("\\\n", ""))
    request = json_format.Parse(words[words.index("-d") + 1], pb.RecommendRequest())
    service, method = words[-1].split("/")
    assert request.k == 3
    found = pb.DESCRIPTOR.services_by_name["RecommenderService"]
    assert service == found.full_name
    assert found.methods_by_name[method].input_type is pb.RecommendRequest.DESCRIPTOR


def test_the_days_of_orders_that_a_training_needs_are_those_of_the_defaults() -> None:
    training, days = Config().training, Config().evaluation.period_days
    assert f"needs {(training.n_ranking_periods + 1) * training.ranking_period_days + days:g} days of orders" in README


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_toml_block_is_a_valid_configuration(block: str) -> None:
    assert parse_config(tomllib.loads(block), "README") is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_segrec_option_of_the_pages_exists(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    groups = "eval|segment|text|synthetic"
    commands = {tuple(words.split()) for words in re.findall(rf"segrec ((?:{groups}) [a-z-]+|(?!(?:{groups})\b)[a-z]+)\b", text)}
    assert {("train",), ("eval", "gate"), ("segment", "fit")} <= commands
    for words in commands:
        monkeypatch.setattr("sys.argv", ["segrec", *words, "--help"])
        with pytest.raises(SystemExit):
            main()
        known = capsys.readouterr().out
        for line in re.findall(rf"segrec {' '.join(words)}\b[^`\n]*", text):
            assert [option for option in re.findall(r"--[a-z-]+", line) if option not in known] == [], line


def test_the_data_page_lists_the_contract() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", page, re.MULTILINE))
    for table in TABLES.values():
        required = {column.name for column in table.columns if column.required}
        named = re.findall(r"(\*\*)?`(\w+)`", rows[table.name])
        assert {name for _, name in named} == set(table.names), table.name
        assert {name for bold, name in named if bold} == required, table.name


def test_the_example_files_are_small_and_whole() -> None:
    folder = ROOT / "examples" / "own-shop"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150 * 1024
    assert parse_config(tomllib.loads((folder / "shop.toml").read_text(encoding="utf-8")), "shop.toml").choose[0].strategy == "treats"
