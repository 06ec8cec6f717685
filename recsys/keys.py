"""TOML files and the keys in them: reading one, what each key means, and what was probably meant by one that does not exist."""

from __future__ import annotations

import datetime as dt
import difflib
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from recsys.errors import ConfigError


class Section(BaseModel):
    """A table of the TOML file: immutable; unknown keys, infinities and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file as plain values; what: it is called in messages, for example "configuration file".

    Raises:
        ConfigError: there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {what} {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def keys(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Every key as (dotted name, type, default, meaning), in the order of declaration; NAME stands for a name of the reader's choice."""
    for name, info in section.model_fields.items():
        members = [part for part in _parts(info.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        shape = str(info.annotation)
        inner = f"{prefix}{name}" + (".NAME" if shape.startswith("dict") else "[]" if shape.startswith("tuple") else "")
        for member in members:
            kinds = get_args(getattr(member.model_fields.get("kind"), "annotation", None))  # one names the member; several are a setting
            yield from keys(member, f"{inner} (kind = {kinds[0]!r})." if len(kinds) == 1 else f"{inner}.")
        if not members:
            default = "required" if info.is_required() else _literal(info.get_default(call_default_factory=True))
            yield f"{prefix}{name}", _type_name(info), default, info.description or "which of the kinds this entry is"


def problem(model: type[BaseModel], detail: Any) -> str:
    """One line for an error of a pydantic validation: the key as the file has it, what is wrong, and the nearest known key."""
    place = list(detail["loc"])
    if place[:1] == ["sources"] and len(place) > 2:
        place.pop(2)  # the kind: a step of the validation, not of the file
    key = ".".join(map(str, place))
    if detail["type"] == "extra_forbidden":
        siblings = _siblings(model, detail["loc"])
        return f"unknown key {key!r};{nearest(str(place[-1]), siblings)} see `segrec config --explain`"
    if detail["type"] == "union_tag_not_found":
        return f"{key}: its 'kind' is missing; see `segrec config --explain`"
    value = "" if isinstance(detail["input"], dict | BaseModel) else f" (got {detail['input']!r})"
    return f"{key}{': ' if key else ''}{detail['msg'].removeprefix('Value error, ')}{value}"


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that suggests the nearest known name; empty when none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" did you mean {near[0]!r}?" if near else ""


def _siblings(model: type[BaseModel], place: tuple[int | str, ...]) -> set[str]:
    """Keys that exist beside the one at a place of the document."""
    if len(place) == 1:
        return set(model.model_fields)
    parts = ["[]" if isinstance(part, int) else f".{part}" for part in place[:-1]]
    if str(model.model_fields[str(place[0])].annotation).startswith("dict"):
        parts[1:2] = [".NAME"]
    if place[0] == "sources":
        parts[2:3] = [f" (kind = '{place[2]}')"]
    parent = "".join(parts).removeprefix(".")
    dotted = (name.rpartition(".") for name, *_ in keys(model))
    return {leaf for above, _, leaf in dotted if above == parent}


def _literal(value: object) -> str:
    return repr(str(value) if isinstance(value, dt.date) else value)


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _type_name(info: FieldInfo) -> str:
    name = info.annotation.__name__ if isinstance(info.annotation, type) else str(info.annotation)
    return name.replace("typing.", "").replace("Annotated[int, Gt(gt=0)]", "int > 0").replace("NoneType", "None")
