"""Values of any type into the types of the contract, a whole column at a time.

Each cast returns the column in its contract type, with null for what was empty and for what could not be read; `is_bad` tells these
two apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.data.schema import ARROW_TYPES, Kind
from recsys.data.shop import TimeFormat
from recsys.types import Flags

BLANKS = pa.array(["", "nan", "null", "none", "<na>", "nat"])
"""What programs write for nothing, lower-cased; an id, number, flag or time of this form is empty. In texts only "" is."""

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_INFINITE = r"^[+-]?(?i:inf|infinity)$"
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?)?$"
_ISO_ZONED = r"^\d{4}-\d\d-\d\d[T ]\d\d(:?\d\d(:?\d\d(\.\d+)?)?)?(Z|[+-]\d\d(:?\d\d)?)$"
_EPOCH = r"^-?\d{9,19}(\.\d+)?$"
_MICROSECONDS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
_LARGEST_EXACT = 2.0**53
_TRUE, _FALSE = pa.array(["true", "1", "yes", "y", "t"]), pa.array(["false", "0", "no", "n", "f"])


def cast(kind: Kind, values: pa.Array, times: TimeFormat) -> pa.Array:
    """A column in the contract's type for this kind; what is empty or wrong becomes null."""
    values = _plain(values)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), ARROW_TYPES[kind])
    match kind:
        case "id":
            return _as_id(values)
        case "event":
            return pc.utf8_lower(_as_id(values))
        case "text":
            return _as_text(values)
        case "number":
            return _as_number(values)
        case "count":
            return _as_count(values)
        case "flag":
            return _as_flag(values)
        case "time":
            return _as_time(values, times)
        case "path":
            return _as_path(values)
        case "attributes":
            return _as_attributes(values)


def is_bad(values: pa.Array, result: pa.Array) -> Flags:
    """Where a value was given that `cast` could not read; one flag per row."""
    lost = pc.and_(pc.is_valid(values), pc.is_null(result))
    values = _plain(values)
    if pa.types.is_string(values.type):
        lost = pc.and_not(lost, _is_blank(pc.utf8_trim_whitespace(values)))
    elif pa.types.is_floating(values.type):
        lost = pc.and_(lost, values.is_valid())
    elif pa.types.is_list(values.type):
        lost = pc.and_not(lost, pc.equal(pc.list_value_length(values), 0).fill_null(False))
    return flags(lost)


def flags(values: pa.Array) -> Flags:
    """A boolean column as numpy; null is False."""
    return np.asarray(values.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def joined(columns: Iterable[pa.Array], separator: str) -> pa.Array:
    """The filled strings of each row, joined; null where there is none. Arrow alone loses such rows, hence the column of empty strings."""
    columns = list(columns)
    texts = pc.binary_join_element_wise(pa.repeat("", len(columns[0])), *columns, separator, null_handling="skip")
    return _filled(pc.utf8_slice_codeunits(texts, len(separator)))


def path_of(*levels: pa.Array) -> pa.Array:
    """The category path of each row from one string column per level, top level first; nulls are left out."""
    return _as_path(joined(levels, "\x1f"), separators="\x1f")


def attributes_of(columns: dict[str, pa.Array]) -> pa.Array:
    """The attributes map of each row from one string column per attribute; nulls are left out."""
    n_rows = len(next(iter(columns.values())))
    interleaved = np.arange(n_rows * len(columns)).reshape(len(columns), n_rows).T.ravel()
    values = pa.concat_arrays([column.cast(pa.string()) for column in columns.values()]).take(pa.array(interleaved))
    names = pa.array(list(columns)).take(pa.array(np.tile(np.arange(len(columns)), n_rows)))
    rows = np.repeat(np.arange(n_rows), len(columns))
    filled = flags(values.is_valid())
    return pa.MapArray.from_arrays(_offsets(rows[filled], n_rows), names.filter(pa.array(filled)), values.filter(pa.array(filled)))


def _plain(values: pa.Array) -> pa.Array:
    """Without dictionaries and NaN and with one string type, so that the casts know few types."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        return values.cast(pa.string())
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        return _each(values, pa.string())
    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_nan(values), None, values)
    if pa.types.is_large_list(values.type):
        return values.cast(pa.list_(values.type.value_type))
    return values


def _is_blank(trimmed: pa.Array) -> pa.Array:
    return pc.is_in(pc.utf8_lower(trimmed), value_set=BLANKS)


def _trimmed(values: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(_is_blank(trimmed), None, trimmed)


def _filled(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(text, ""), None, text)


def _none(values: pa.Array, kind: Kind) -> pa.Array:
    return pa.nulls(len(values), ARROW_TYPES[kind])


def _as_id(values: pa.Array) -> pa.Array:
    if pa.types.is_string(values.type):
        return _trimmed(values)
    if pa.types.is_integer(values.type):
        return values.cast(pa.string())
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        return _whole(values).cast(pa.string())
    return _none(values, "id")


def _as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_list(values.type) and pa.types.is_string(values.type.value_type):
        values = pc.binary_join(values, ", ")
    if pa.types.is_nested(values.type):
        return _none(values, "text")
    return _filled(pc.utf8_trim_whitespace(values.cast(pa.string())))


def _as_number(values: pa.Array) -> pa.Array:
    """Infinity is a number here, so that the check of bounds can name it."""
    if pa.types.is_string(values.type):
        text = pc.utf8_trim_whitespace(values)
        readable = pc.or_(pc.match_substring_regex(text, _NUMBER), pc.match_substring_regex(text, _INFINITE))
        return pc.if_else(readable, text, None).cast(pa.float64())
    if pa.types.is_integer(values.type) or pa.types.is_decimal(values.type):
        return values.cast(pa.float64(), safe=False)
    if pa.types.is_floating(values.type):
        return values.cast(pa.float64())
    return _none(values, "number")


def _as_count(values: pa.Array) -> pa.Array:
    return _whole(_as_number(values))


def _whole(numbers: pa.Array) -> pa.Array:
    """int64 where the value is a whole number that float64 holds exactly."""
    numbers = numbers.cast(pa.float64())
    exact = pc.and_(pc.less(pc.abs(numbers), _LARGEST_EXACT), pc.equal(numbers, pc.floor(numbers)))
    return pc.if_else(exact, numbers, None).cast(pa.int64())


def _as_flag(values: pa.Array) -> pa.Array:
    if pa.types.is_boolean(values.type):
        return values
    if not (pa.types.is_string(values.type) or pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        return _none(values, "flag")
    text = pc.utf8_lower(pc.utf8_trim_whitespace(_as_id(values)))
    return pc.if_else(
        pc.is_in(text, value_set=_TRUE), True, pc.if_else(pc.is_in(text, value_set=_FALSE), False, pa.scalar(None, pa.bool_()))
    )


def _as_time(values: pa.Array, times: TimeFormat) -> pa.Array:
    kind = values.type
    if pa.types.is_string(kind):
        text = _trimmed(values)
        return _patterned(text, times.pattern) if times.pattern else _iso_or_epoch(text, times)
    if times.pattern and pa.types.is_integer(kind):
        return _patterned(values.cast(pa.string()), times.pattern)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _each(values, ARROW_TYPES["time"])
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _epoch(_as_number(values), times)
    return _none(values, "time")


def _iso_or_epoch(text: pa.Array, times: TimeFormat) -> pa.Array:
    text = pc.replace_substring_regex(text, r" ?UTC$", "Z")
    text = pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1")
    naive = pc.if_else(pc.match_substring_regex(text, _ISO), text, None)
    zoned = pc.if_else(pc.match_substring_regex(text, _ISO_ZONED), text, None)
    epoch = pc.if_else(pc.match_substring_regex(text, _NUMBER if times.unit else _EPOCH), text, None)
    moments = pc.coalesce(_each(naive, pa.timestamp("us")).cast(ARROW_TYPES["time"]), _each(zoned, ARROW_TYPES["time"]))
    return moments if epoch.null_count == len(epoch) else pc.coalesce(moments, _epoch(epoch.cast(pa.float64()), times))


def _epoch(numbers: pa.Array, times: TimeFormat) -> pa.Array:
    since_1970 = np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)
    if times.unit:
        scale: NDArray[np.float64] | float = _MICROSECONDS[times.unit]
    else:
        scale = np.asarray(list(_MICROSECONDS.values()))[np.searchsorted([1e11, 1e14, 1e17], np.abs(since_1970), side="right")]
    with np.errstate(over="ignore", invalid="ignore"):
        moments = np.round(since_1970 * scale)
        readable = np.abs(moments) < 2.0**62  # False for NaN
    return pa.array(np.where(readable, moments, 0).astype(np.int64), mask=~readable).cast(ARROW_TYPES["time"])


def _patterned(text: pa.Array, pattern: str) -> pa.Array:
    """Arrow's own strptime takes 30 February for 2 March; pandas' does not."""
    import pandas as pd

    moments = pd.to_datetime(pd.Series(text.to_numpy(zero_copy_only=False), dtype="object"), format=pattern, errors="coerce", utc=True)
    return pa.array(moments.dt.tz_localize(None).to_numpy("datetime64[us]")).cast(ARROW_TYPES["time"])


def _each(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Arrow's cast, but a value that it refuses becomes null; found by halving, for such values are few."""
    try:
        return pc.cast(values, options=pc.CastOptions(target_type=kind, allow_time_truncate=True))
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.nulls(1, kind)
        middle = len(values) // 2
        return pa.concat_arrays([_each(values[:middle], kind), _each(values[middle:], kind)])


def _as_path(values: pa.Array, separators: str = ">|") -> pa.Array:
    """Lists without null and empty names; a string that is no JSON array is split."""
    if pa.types.is_string(values.type):
        split = pc.split_pattern_regex(values, f"[{separators}]")
        arrays = flags(pc.starts_with(values, "["))
        values = pa.array([_json_list(value) for value in values.to_pylist()], split.type).fill_null(split) if arrays.any() else split
    if not pa.types.is_list(values.type) or pa.types.is_nested(values.type.value_type):
        return _none(values, "path")
    names = pc.utf8_trim_whitespace(values.flatten().cast(pa.string()))
    named = flags(pc.not_equal(names, ""))
    rows = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)[named]
    paths = pa.ListArray.from_arrays(_offsets(rows, len(values)), names.filter(pa.array(named)))
    return pc.if_else(pc.equal(pc.list_value_length(paths), 0), None, paths)


def _json_list(text: str | None) -> list[str] | None:
    try:
        names = json.loads(text) if text and text.startswith("[") else None
    except ValueError:
        return None
    return names and [str(name) for name in names if name is not None]


def _as_attributes(values: pa.Array) -> pa.Array:
    if pa.types.is_map(values.type) and not pa.types.is_nested(values.type.item_type):
        return values.cast(ARROW_TYPES["attributes"])
    if pa.types.is_string(values.type) or pa.types.is_struct(values.type):
        return pa.array([_attributes(value) for value in values.to_pylist()], ARROW_TYPES["attributes"])
    return _none(values, "attributes")


def _attributes(value: str | dict[str, Any] | None) -> list[tuple[str, str]] | None:
    try:
        pairs = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(pairs, dict):
        return None
    return [
        (name, item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)) for name, item in pairs.items() if item is not None
    ]


def _offsets(rows: NDArray[Any], n_rows: int) -> pa.Array:
    """Offsets of lists from the (sorted) row that each element belongs to."""
    return pa.array(np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int32))
