from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from recsys.config import Config, explain, load_config, parse_config, to_json
from recsys.customer_config import LanguageModelConfig, SegmentationConfig
from recsys.errors import ConfigError
from recsys.features.spec import feature_names
from segmentation.lifecycle import StageRules
from segmentation.llm.endpoint import EndpointSettings
from segmentation.model import MARGIN
from segmentation.voice_settings import VoiceSettings


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(tomllib.loads(text), "shop.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[trainin]", "unknown key 'trainin'; did you mean 'training'?"),
        ("llm = { api_key = 'secret' }", "unknown key 'llm.api_key'; did you mean 'api_key_env'?"),
        ("training.sed = 1", "unknown key 'training.sed'; did you mean 'seed'?"),
        ("sources.als = { kind = 'als', factor = 8 }", "unknown key 'sources.als.factor'; did you mean 'factors'?"),
        ("sources.x = { kind = 'popular', windw_days = 8 }", "unknown key 'sources.x.windw_days'; did you mean 'window_days'?"),
        ("features.x = { scope = 'item', statistic = 'rate', widow_days = 8 }", "did you mean 'window_days'?"),
        ("rankers.home = { train_on = 'home', n_tree = 8 }", "unknown key 'rankers.home.n_tree'; did you mean 'n_trees'?"),
        ("strategies.x = { sources = { als = 9 }, divirsity = 0.1 }", "unknown key 'strategies.x.divirsity'; did you mean 'diversity'?"),
        ("strategies.x = { sources = { als = 9 }, boosts = [{ factor = 2, brand = ['a'] }] }", "did you mean 'brands'?"),
        ("choose = [{ strategy = 'home', tier = ['low'] }]", "did you mean 'tiers'?"),
        ("xyzzy = 1", "unknown key 'xyzzy'; see `segrec config --explain`"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(text: str, said: str) -> None:
    assert refusal(text).startswith("shop.toml: ")
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.n_threads = 0", "training.n_threads: Input should be greater than or equal to 1 (got 0)"),
        ("training.seed = 'seven'", "training.seed"),
        ("training.ranking_period_days = inf", "training.ranking_period_days"),
        ("training = 3", "training"),
        ("features = 3", "features"),
        ("features.x = 3", "features.x"),
        ("sources.x = { kind = 'asl' }", "'asl'"),
        ("sources.x = { window_days = 3 }", "sources.x: its 'kind' is missing"),
        ("segmentation.tier_quantiles = [0.8, 0.5]", "tier_quantiles must rise strictly within 0 and 1, got [0.8, 0.5]"),
        ("features.x = { scope = 'item', statistic = 'share' }", "scope 'item' has no statistic 'share'; it has: rate"),
        ("features.x = { scope = 'item', statistic = 'rate', half_life_days = 3 }", "half_life_days belongs to statistic = 'decayed'"),
        ("features.x = { scope = 'item', statistic = 'decayed' }", "half_life_days belongs to statistic = 'decayed'"),
        ("features.x = { scope = 'pair', statistic = 'due', window_days = 3 }", "'due' looks at all interactions and has no window_days"),
        ("features.x = { scope = 'customer', statistic = 'rate', by = 'brand' }", "'by' has no meaning for scope 'customer'"),
        ("strategies.x.sources = { }", "strategies.x.sources"),
        ("strategies.x.sources = { als = 0 }", "strategies.x.sources.als: Input should be greater than 0 (got 0)"),
        ("strategies.x.sources = { alz = 9 }", "strategies.x.sources names source 'alz', which does not exist; did you mean 'als'?"),
        ("strategies.x = { sources = { als = 9 }, ranker = 'hom' }", "names ranker 'hom', which does not exist; did you mean 'home'?"),
        ("strategies.x = { sources = { als = 9 }, max_per = { colour = 1 } }", "colour"),
        ("strategies.x = { sources = { als = 9 }, max_per = { brand = 0 } }", "max_per.brand"),
        ("strategies.x = { sources = { als = 9 }, pins = { 0 = 'a' } }", "pins.0"),
        ("strategies.x = { sources = { als = 9 }, pins = { 1 = 'a', 2 = 'a' } }", "pins fixes item 'a' to more than one rank"),
        ("strategies.x = { sources = { als = 9 }, boosts = [{ factor = 0 }] }", "boosts.0.factor"),
        ("strategies.x = { sources = { als = 9 }, filters = ['liked'] }", "'liked'"),
        ("rankers.x = { train_on = 'hme' }", "rankers.x.train_on names strategy 'hme', which does not exist; did you mean 'home'?"),
        ("default_strategy = 'hme'", "default_strategy names strategy 'hme'"),
        ("choose = [{ strategy = 'hme' }]", "choose[0].strategy names strategy 'hme'"),
        ("choose = [{ strategy = 'home', tiers = ['top'] }]", "'low', 'medium' or 'high'"),
        ("sources.als = false", "names source 'als', which does not exist"),
        ("segmentation.margin = 1.5", "segmentation.margin"),
        ("segmentation.voice.half_life_days = 0", "segmentation.voice.half_life_days"),
        ("llm = { endpoint = 'https://a.example/v1' }", "endpoint and model belong together"),
        ("llm = { model = 'm' }", "endpoint and model belong together"),
        ("llm = { endpoint = 'https://a.example/v1', model = 'm', folder = 'f' }", "endpoint and folder name two language models"),
        ("llm = { gguf_file = 'm.gguf' }", "gguf_file 'm.gguf' needs the folder that it is in"),
        ("llm = { endpoint = 'https://me:secret@a.example/v1', model = 'm' }", "without user, password, query or fragment"),
        ("sources.popullar = false", "sources.popullar = false removes nothing; did you mean 'popular'?"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(text: str, said: str) -> None:
    assert said in refusal(text)


def test_every_problem_of_a_file_is_told_at_once() -> None:
    said = refusal("[training]\nsed = 1\nn_threads = 0")
    assert "training.sed" in said
    assert "training.n_threads" in said


@pytest.mark.parametrize("name", ["../als", "a b", "a:b", ""])
def test_names_must_do_as_folders_and_columns(name: str) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        parse_config({"sources": {name: {"kind": "als"}}}, "shop.toml")


def test_an_entry_adds_to_the_defaults_or_replaces_the_one_of_its_name() -> None:
    config = parse_config({"features": {"x": {"scope": "item", "statistic": "rate", "window_days": 3}}}, "test")
    assert config.features["x"].window_days == 3
    assert set(config.features) == {*Config().features, "x"}
    other = parse_config({"sources": {"popular": {"kind": "popular", "window_days": 2}}}, "test")
    assert other.sources["popular"].model_dump() == {"kind": "popular", "half_life_days": None, "window_days": 2, "within": "shop"}
    assert set(other.sources) == set(Config().sources)


def test_false_removes_a_default() -> None:
    name = next(iter(Config().features))
    config = parse_config({"features": {name: False}}, "test")
    assert set(config.features) == set(Config().features) - {name}
    assert name not in feature_names(config)


def test_a_file_is_read_once_and_is_frozen(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text("training.seed = 11\n[strategies.cart]\nsources = { covisit = 30 }\npins = { 2 = 'i4' }\n", encoding="utf-8")
    config = load_config(path)
    assert config.training.seed == 11
    assert config.strategies["cart"].pins == {2: "i4"}
    with pytest.raises(ValidationError, match="frozen"):
        config.training.seed = 12  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "there is no configuration file"), (b"a = [", "not valid TOML"), (b"\xff\xfe", "not valid TOML")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "shop.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_json_and_back_is_the_same_configuration() -> None:
    rich: dict[str, Any] = {
        "strategies": {
            "cart": {
                "sources": {"covisit": 30, "popular": 5},
                "max_per": {"brand": 2},
                "pins": {"1": "i1"},
                "boosts": [{"factor": 2, "brands": ["a"]}],
                "diversity": 0.3,
            }
        },
        "choose": [{"strategy": "cart", "placements": ["cart"], "tiers": ["low"]}],
    }
    config = parse_config(rich, "test")
    text = json.dumps(to_json(config), allow_nan=False)
    assert Config.model_validate(json.loads(text)) == config
    assert to_json(Config.model_validate(json.loads(text))) == to_json(config)


def test_settings_that_segmentation_declares_have_its_defaults_here() -> None:
    settings = SegmentationConfig()
    assert settings.voice.settings() == VoiceSettings()
    assert settings.stages.rules() == StageRules()
    assert settings.margin == MARGIN
    endpoint = LanguageModelConfig(endpoint="https://a.example/v1", model="m")
    assert endpoint.endpoint_settings() == EndpointSettings("https://a.example/v1", "m")


def test_without_endpoint_and_folder_there_is_no_language_model() -> None:
    assert not Config().llm.is_set
    assert parse_config({"llm": {"folder": "models/small", "gguf_file": "m.gguf"}}, "test").llm.is_set
    limits = {"api_key_env": "KEY", "price_in": 0.5, "price_out": 1.5, "requests_per_minute": 60.0, "parameters": {"top_p": 0.5, "seed": 3}}
    settings = parse_config({"llm": {"endpoint": "https://a.example/v1", "model": "m", **limits}}, "test").llm.endpoint_settings()
    assert settings == EndpointSettings("https://a.example/v1", "m", **limits)


def test_no_file_and_an_empty_file_are_the_same() -> None:
    assert parse_config({}, "test") == Config()


def leaves(document: Any, path: str = "") -> set[str]:
    """Dotted names of all keys of a document, as `explain` writes them."""
    if isinstance(document, list) and (not document or isinstance(document[0], dict)):
        return {name for entry in document for name in leaves(entry, f"{path}[]")}
    if not isinstance(document, dict) or path.rpartition(".")[2] in ("max_per", "pins") or path == "strategies.NAME.sources":
        return {path}
    found = set()
    for key, value in document.items():
        if path in ("features", "sources", "rankers", "strategies"):
            inner = f"{path}.NAME" + (f" (kind = '{value['kind']}')" if path == "sources" else "")
        else:
            inner = f"{path}.{key}".removeprefix(".")
        found |= leaves(value, inner)
    return found


def test_explain_lists_every_key_of_a_full_document() -> None:
    strategy = {"sources": {"als": 1}, "boosts": [{"factor": 2, "brands": ["b"]}]}
    full = to_json(parse_config({"strategies": {"x": strategy}, "choose": [{"strategy": "home"}]}, "test"))
    listed = [name for name, *_ in explain()]
    assert leaves(full) <= set(listed)
    assert len(listed) == len(set(listed))


def test_explain_gives_every_key_a_type_a_default_and_a_meaning() -> None:
    for name, kind, default, meaning in explain():
        assert kind, name
        assert default, name
        assert len(meaning) > 10, name
        if not name.endswith(").kind"):
            assert meaning != "which of the kinds this entry is", name
    said = {name: default for name, _, default, _ in explain()}
    assert said["training.seed"] == "7"
    assert said["strategies.NAME.sources"] == "required"


def test_default_features_of_a_removed_source_go_with_it() -> None:
    config = parse_config({"sources": {"content": False}, **_without_content()}, "test")
    assert not any(feature.source == "content" for feature in config.features.values())
    assert any(feature.source == "covisit" for feature in config.features.values())


def test_a_declared_feature_of_a_removed_source_is_refused_by_name() -> None:
    said = {"scope": "source", "statistic": "score", "source": "content"}
    with pytest.raises(ConfigError, match=r"features.mine.source names source 'content', which does not exist"):
        parse_config({"sources": {"content": False}, "features": {"mine": said}, **_without_content()}, "test")


def _without_content() -> dict[str, Any]:
    """The default strategies, none of which asks the content source."""
    return {
        "strategies": {
            name: {"sources": {"als": 20}, "ranker": name if name != "product" else None} for name in ("home", "product", "discovery")
        }
    }
