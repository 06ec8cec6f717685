"""The tour is walked, command by command as it stands in docs/tour.md, in a smaller world."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
SMALLER = {"--customers 1000 --items 500": "--customers 250 --items 100", " --customer c936": "", "--customers 400": "--customers 60"}
"""The same commands in less time: what the tour says, and what is run."""


@pytest.mark.slow
def test_every_command_of_the_tour_runs_and_shows_what_the_tour_shows(tmp_path: Path) -> None:
    commands = "".join(re.findall(r"^<!-- tour -->\n```sh\n(.*?)^```$", TOUR, re.MULTILINE | re.DOTALL))
    for shown, run in SMALLER.items():
        assert shown in commands
        commands = commands.replace(shown, run)
    script = 'set -e\nsegrec() { "$PYTHON" -c "from segrec.cli import main; main()" "$@"; }\n' + commands
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable, "PYTHONUTF8": "1"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = (
        "interactions",
        "the engine thinks",
        "the truth",
        "chief cause",
        "expected per 100 visits",
        "best possible",
        "adjusted Rand index",
    )
    assert [part for part in parts if part not in done.stdout] == []
    assert (tmp_path / "worlds" / "tour" / "truth" / "world.json").is_file()
