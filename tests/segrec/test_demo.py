"""The demo's whole path on the small shop: train, measure, serve over a real channel, ask, print."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import SMALL

from recsys.config import parse_config
from recsys.data.importing import REPORT_FILE
from segrec import demo


def test_the_demo_prints_lists_for_every_tier_and_a_guest_and_what_they_are_worth(
    small_shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Path(shutil.copytree(small_shop, tmp_path / "shop"))
    (shop / REPORT_FILE).write_text("{}")  # imported already
    monkeypatch.setattr(demo, "Config", lambda: parse_config(SMALL, "tests"))
    demo.run_demo(shop, tmp_path / "bundles")
    shown, told = capsys.readouterr()
    for line in (
        "tier low, strategy home",
        "tier medium, strategy home",
        "tier high, strategy home",
        "strategy discovery",
        "a guest who looks at",
    ):
        assert line in shown
    for system in ("engine", "repurchase", "als", "covisit", "content", "popular_segment", "popularity, last 7 days"):
        assert f"\n  {system}" in shown
    assert "tier=high (customers:" in shown
    assert "bought before" in shown
    assert "4. How good it is" in told
