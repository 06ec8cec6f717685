"""`segrec text` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trunks import write_trunk
from world import COLOURS, THINGS

from recsys.text.encoder import load_encoder
from segrec import cli


def segrec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["segrec", "text", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code is None or isinstance(left.value.code, int)
    return left.value.code or 0, *capsys.readouterr()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    trunk = write_trunk(tmp_path / "trunk", [*(colour.lower() for colour in COLOURS), *THINGS])
    lines = [
        "[text]",
        f'trunk = "{trunk}"',
        "max_tokens = 12",
        'precision = "float32"',
        "[finetune]",
        "batch_texts = 16",
        "validate_every = 2",
    ]
    path = tmp_path / "shop.toml"
    path.write_text("\n".join(lines))
    return path


def test_finetune_writes_a_trunk_that_the_configuration_may_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, small_shop: Path, tmp_path: Path
) -> None:
    command = ("finetune", settings, "--data", small_shop, "--out", tmp_path / "tuned", "--steps", 4, "--as-of", "2024-05-01")
    code, out, _ = segrec(monkeypatch, capsys, *command, "--json")
    told = json.loads(out)
    assert code == 0
    assert len(told["Recall@20"]) == 3
    config = cli.load_config(settings).text
    assert load_encoder(config.model_copy(update={"trunk": told["trunk"]}), 1).fingerprint != load_encoder(config, 1).fingerprint
    code, out, _ = segrec(monkeypatch, capsys, *command)
    assert code == 0
    assert "untuned" in out
    assert "next: trunk =" in out


def test_similar_finds_the_item_that_a_new_text_speaks_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_bundle: Path
) -> None:
    code, out, _ = segrec(monkeypatch, capsys, "similar", small_bundle, "a scarf that is yellow", "-k", 3, "--json")
    found = json.loads(out)
    assert code == 0
    assert found[0]["title"] == "Yellow scarf"
    assert [row["cosine"] for row in found] == sorted((row["cosine"] for row in found), reverse=True)
    assert len(found) == 3
    code, out, _ = segrec(monkeypatch, capsys, "similar", small_bundle, "a scarf that is yellow")
    assert "Yellow scarf" in out


def test_a_bundle_read_by_another_bert_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_bundle: Path, settings: Path
) -> None:
    other = cli.load_config(settings).text
    monkeypatch.setattr("segrec.text.text_config", lambda path, manifest: other)
    code, out, err = segrec(monkeypatch, capsys, "similar", small_bundle, "tea")
    assert (code, out) == (1, "")
    assert "was read by another BERT" in err
