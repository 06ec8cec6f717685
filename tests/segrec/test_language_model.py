"""The language model that a configuration names, opened at the command line: nothing is sent but to this machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import load_shop
from world import DAY

from recsys.bundle import read_manifest
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError
from segmentation.errors import LanguageModelError
from segmentation.llm.language_model import UNREACHABLE, Prompt
from segrec.language_model import language_model
from segrec.shipping import ship


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    return load_shop(tmp_path / "shop", [{"customer_id": "one", "item_id": "a", "day": 1}])


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port at which nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def settings(**llm: Any) -> Config:
    return parse_config({"llm": llm}, "test")


def test_without_settings_there_is_none(shop: Dataset) -> None:
    with language_model(Config(), shop) as model:
        assert model is None


def test_a_key_that_is_not_in_the_environment_is_named(shop: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    config = settings(endpoint="http://127.0.0.1:1/v1", model="m", api_key_env="SHOP_KEY")
    with pytest.raises(LanguageModelError, match="environment variable SHOP_KEY is not set"), language_model(config, shop):
        pass


def test_a_folder_without_a_model_is_named(shop: Dataset, tmp_path: Path) -> None:
    config = settings(folder=str(tmp_path), gguf_file="m.gguf")
    with pytest.raises(LanguageModelError, match=r"there is no model at .*m\.gguf"), language_model(config, shop):
        pass


def test_a_model_in_a_folder_has_no_price(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="price_in and price_out are what an endpoint asks for"):
        settings(folder=str(tmp_path), price_in=0.1)


def test_columns_of_names_must_be_there(shop: Dataset, nobody: str) -> None:
    pq.write_table(pa.table({"customer_id": ["one"], "surname": ["Miller"]}), shop.folder / "customers.parquet")
    config = settings(endpoint=nobody, model="m", name_columns=["name"])
    with (
        pytest.raises(ConfigError, match=r"names 'name', which .* does not have; it has: customer_id, surname"),
        language_model(config, shop),
    ):
        pass


def test_what_it_took_and_what_it_did_not_answer_is_said_at_the_end(shop: Dataset, nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"customer_id": ["one"], "surname": ["Miller"]}), shop.folder / "customers.parquet")
    with language_model(settings(endpoint=nobody, model="m", max_attempts=1, name_columns=["surname"]), shop) as model:
        assert model is not None
        assert model.model == f"{nobody}#m"
        ((_, answer),) = model.choose([Prompt("Good or bad?", "Miller says it is good.")], ("good", "bad"))
    assert answer.failure == UNREACHABLE
    said = capsys.readouterr().err
    assert "1 requests, 0 tokens read, 0 written" in said
    assert "1 pieces of personal data masked" in said
    assert "1 questions went without an answer (unreachable: " in said


def test_one_that_was_not_asked_says_so(shop: Dataset, nobody: str, capsys: pytest.CaptureFixture[str]) -> None:
    with language_model(settings(endpoint=nobody, model="m"), shop):
        pass
    assert "nothing had to be asked" in capsys.readouterr().err


def test_a_former_bundle_must_be_earlier(small_bundle: Path, small_dataset: Dataset, small_config: Config, tmp_path: Path) -> None:
    as_of = np.datetime64(str(read_manifest(small_bundle)["as_of"]), "us") - DAY
    with pytest.raises(ConfigError, match="which is after"):
        ship(small_dataset, small_config, tmp_path, lambda done, total, what: None, as_of=as_of, former=small_bundle)
