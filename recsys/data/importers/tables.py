"""A folder of tables, one file (or several of one form) per table, in any known format; a TOML mapping names what has other names.

Without a mapping a table's file is called like the table (``interactions.csv``, ``items.parquet``, ``reviews.jsonl.gz``), or its numbered
parts are (``interactions-0001.csv``, ...), and its columns are called like those of the contract. With one:

    [interactions]
    file = "orders-*.csv"                                   # default: the table's name; * takes several files of the same form
    columns = { item_id = "sku", customer_id = "client", event_time = "when" }
    constants = { event = "purchase" }                      # the same value in every row
    events = { order = "purchase", refund = "return" }      # other words for events; those not named stay
    drop = { status = ["cancelled", "test"] }               # rows left out, counted
    time_unit = "ms"                                        # of numbers; default: by magnitude
    time_format = "%d.%m.%Y %H:%M"                          # of strings; default: ISO 8601
    encoding = "cp1252"                                     # default: UTF-8
    delimiter = ";"                                         # default: a comma, in .tsv a tab; with one, any file is read as CSV

    [items]
    attributes = { colour = "col", size = "size_eu" }       # attribute = column

Optional columns may be missing; of a JSON Lines file all are written, empty where no line has them. A category path that is one string
has its parts set apart by > or |. Any further column of customers is kept as it is called; of other tables the report names such columns.
"""

from __future__ import annotations

import codecs
import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError, field_validator

from recsys.data.casting import attributes_of, cast
from recsys.data.readers import Layout, has_fixed_columns, header, is_readable, read_blocks, require_columns, stem
from recsys.data.schema import TABLES, Table
from recsys.data.shop import Block, Chunk, Shop, TimeFormat
from recsys.errors import ConfigError, DataError
from recsys.keys import Section, nearest, read_toml

SOURCE = "tables"


class TableMapping(Section):
    """How one table of the contract is found in other people's files."""

    file: str | None = Field(
        default=None, description="the file's name in the folder, * for several of one form; default: the table's name"
    )
    columns: dict[str, str] = Field(default_factory=dict, description="column of the contract = column of the file")
    constants: dict[str, str | float | bool] = Field(default_factory=dict, description="column of the contract = the value of every row")
    events: dict[str, str] = Field(default_factory=dict, description="the file's word for an event = the contract's; case does not matter")
    attributes: dict[str, str] = Field(default_factory=dict, description="name of an item attribute = column of the file")
    drop: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="column of the file = values whose rows are left out")
    time_unit: Literal["s", "ms", "us", "ns"] | None = Field(default=None, description="of times that are numbers; default: by magnitude")
    time_format: str | None = Field(default=None, description="of times that are strings, as in strptime; default: ISO 8601")
    encoding: str = Field(default="utf-8-sig", description="of text files")
    delimiter: str | None = Field(default=None, min_length=1, description="between CSV fields; default: a comma, in .tsv files a tab")

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            codecs.lookup(encoding)
        except LookupError:
            raise ValueError("no such encoding; utf-8, cp1252, latin-1 and utf-16 are usual") from None
        return encoding

    @property
    def layout(self) -> Layout:
        return Layout(self.encoding, self.delimiter, is_csv=self.delimiter is not None)

    @property
    def times(self) -> TimeFormat:
        return TimeFormat(self.time_unit, self.time_format)


def tables(folder: Path, mapping: Path | None = None) -> Shop:
    """The shop in a folder of tables.

    Raises:
        ConfigError: the mapping is no TOML, or names a table, key or column that does not exist.
        DataError: a required table or column is missing, or two files could be the same table.
    """
    mappings = read_mapping(mapping) if mapping is not None else {}
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    found = {name: _find(folder, table, mappings.get(name, TableMapping())) for name, table in TABLES.items()}
    sources = [source for source in found.values() if source is not None]
    return Shop(
        SOURCE,
        {source.table.name: source.filled for source in sources},
        (chunk for source in sources for chunk in source.chunks()),
        {source.table.name: source.ignored for source in sources},
    )


def read_mapping(path: Path) -> dict[str, TableMapping]:
    """The mapping of each table in a TOML file."""
    mappings = {}
    for name, entries in read_toml(path, "mapping").items():
        if name not in TABLES:
            raise ConfigError(f"{path}: there is no table {name!r};{nearest(name, TABLES)} the tables are: {', '.join(TABLES)}")
        mappings[name] = _table_mapping(path, TABLES[name], entries)
    return mappings


def _table_mapping(path: Path, table: Table, entries: Any) -> TableMapping:
    try:
        mapping = TableMapping.model_validate(entries)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(_problem(table.name, detail) for detail in error.errors())) from error
    for column in [*mapping.columns, *mapping.constants]:
        if column not in table.names and not table.is_open:
            known = ", ".join(table.names)
            raise ConfigError(
                f"{path}: table {table.name} has no column {column!r};{nearest(column, table.names)} its columns are: {known}"
            )
    for key, column in (("events", "event"), ("attributes", "attributes")):
        if getattr(mapping, key) and column not in table.names:
            raise ConfigError(f"{path}: {table.name}.{key} has no meaning, for the table has no column {column!r}")
    return mapping


def _problem(table: str, detail: Any) -> str:
    key = ".".join(map(str, (table, *detail["loc"])))
    if detail["type"] != "extra_forbidden":
        return f"{key}: {detail['msg'].removeprefix('Value error, ')} (got {detail['input']!r})"
    known = list(TableMapping.model_fields)
    return f"unknown key {key!r};{nearest(str(detail['loc'][-1]), known)} the keys of a table are: {', '.join(known)}"


@dataclass(frozen=True)
class _Source:
    """The files of one table and what is made of their columns.

    renamed: column of the contract -> column of the file; columns that are mapped to attributes or constants are not in it
    """

    table: Table
    mapping: TableMapping
    paths: tuple[Path, ...]
    renamed: Mapping[str, str]
    ignored: tuple[str, ...]

    @property
    def filled(self) -> tuple[str, ...]:
        made = ["attributes"] if self.mapping.attributes else []
        return tuple(dict.fromkeys([*self.renamed, *self.mapping.constants, *made]))

    def chunks(self) -> Iterator[Chunk]:
        wanted = dict.fromkeys([*self.renamed.values(), *self.mapping.attributes.values(), *self.mapping.drop])
        for path in self.paths:
            there = header(path, self.mapping.layout)
            columns = [name for name in wanted if name in there or not has_fixed_columns(path)]
            for block in read_blocks(path, columns, self.mapping.layout):
                yield self._chunk(block)

    def _chunk(self, block: Block) -> Chunk:
        rows, n_rows = block.rows, block.rows.num_rows
        columns = {name: rows[source] for name, source in self.renamed.items() if source in rows.schema.names}
        columns |= {name: pa.repeat(value, n_rows) for name, value in self.mapping.constants.items()}
        if self.mapping.attributes:
            columns["attributes"] = attributes_of(
                {name: cast("text", rows[source], TimeFormat()) for name, source in self.mapping.attributes.items()}
            )
        if self.mapping.events and "event" in columns:
            columns["event"] = _renamed_events(columns["event"], self.mapping.events)
        rules = {
            f"{name} is {value}": pc.equal(cast("text", rows[name], TimeFormat()), value)
            for name, values in self.mapping.drop.items()
            for value in values
        }
        return Chunk.of(self.table.name, block, columns, self.mapping.times).without(rules)


def _find(folder: Path, table: Table, mapping: TableMapping) -> _Source | None:
    paths = _paths(folder, table, mapping)
    if not paths:
        return None
    headers = {path: header(path, mapping.layout, whole=table.is_open) for path in paths}
    there = tuple(dict.fromkeys(name for names in headers.values() for name in names))
    taken = {*mapping.constants, *(["attributes"] if mapping.attributes else [])}
    renamed = {name: mapping.columns.get(name, name) for name in table.names if name not in taken}
    if table.is_open:
        renamed |= {name: name for name in there if name not in renamed.values() and name not in mapping.columns.values()} | mapping.columns
    needed = [renamed[column.name] for column in table.columns if column.required and column.name in renamed]
    asked = [*mapping.columns.values(), *mapping.attributes.values(), *mapping.drop]
    for path, names in headers.items():
        require_columns(path, names, needed + (asked if has_fixed_columns(path) else []), table.name)
    if all(has_fixed_columns(path) for path in paths):
        renamed = {name: source for name, source in renamed.items() if source in there}
    used = {*renamed.values(), *mapping.attributes.values(), *mapping.drop}
    return _Source(table, mapping, paths, renamed, tuple(name for name in there if name not in used))


def _paths(folder: Path, table: Table, mapping: TableMapping) -> tuple[Path, ...]:
    if mapping.file is not None:
        named = folder / mapping.file
        paths = [named] if named.is_file() else [Path(name) for name in sorted(glob.glob(str(named)))]
        if not paths:
            raise DataError(f"table {table.name}: {folder} has no file {mapping.file}; it has: {_listing(folder)}")
        return tuple(paths)
    readable = sorted(path for path in folder.iterdir() if is_readable(path))
    parts = tuple(path for path in readable if re.fullmatch(rf"{table.name}-\d+", stem(path)))
    paths = [path for path in readable if stem(path) == table.name]
    if parts and not paths:
        return parts
    if len(paths) + len(parts) > 1:
        raise DataError(f"table {table.name}: more than one file could be it: {_names(*paths, *parts[:2])}; name one in a mapping")
    if not paths and table.required:
        raise DataError(f"{folder} has no table {table.name} ({table.meaning}), such as {table.name}.csv; it has: {_listing(folder)}")
    return tuple(paths)


def _listing(folder: Path) -> str:
    return _names(*folder.iterdir()) or "nothing"


def _names(*paths: Path) -> str:
    return ", ".join(sorted(path.name for path in paths))


def _renamed_events(events: pa.Array, names: Mapping[str, str]) -> pa.Array:
    words = cast("event", events, TimeFormat())
    known = {word.strip().lower(): name for word, name in names.items()}
    found = pc.index_in(words, value_set=pa.array(list(known)))
    return pc.coalesce(pa.array(list(known.values())).take(found), words)
