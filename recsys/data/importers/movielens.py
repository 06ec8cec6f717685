"""MovieLens (GroupLens): ratings of films, in the layouts ml-100k, ml-1m / ml-10m and ml-latest / 20m / 25m / 32m.

A rating is no money and no purchase, so it becomes an event of its own whose name holds the stars: ``stars_4``, ``stars_3.5``. No number is
lost, and which ratings count as wanted is a setting: ``data.positive_events = ["stars_4", "stars_4.5", "stars_5"]``.

Genres are not nested; as a category path they serve filters and limits per category, and the description names them for the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.casting import attributes_of, joined, path_of
from recsys.data.readers import Layout, header, read_blocks, require_columns
from recsys.data.shop import Block, Chunk, Shop, TimeFormat
from recsys.data.textfile import encoding_of
from recsys.errors import DataError

SOURCE = "movielens"

_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_RATINGS = ("userId", "movieId", "rating", "timestamp")
_COLUMNS = {
    "items": ("item_id", "title", "description", "category", "attributes"),
    "customers": ("customer_id", "gender", "age", "occupation", "zip_code"),
    "interactions": ("item_id", "customer_id", "event", "event_time"),
}


@dataclass(frozen=True)
class _Files:
    """Where a layout keeps its tables; names = () where the file has a header."""

    delimiter: str
    ratings: str
    movies: str
    movie_names: tuple[str, ...] = ()
    users: str | None = None
    user_names: tuple[str, ...] = ()
    movie_delimiter: str | None = None

    def layout(self, path: Path, delimiter: str, names: tuple[str, ...]) -> Layout:
        return Layout(encoding_of(path, ("utf-8-sig", "latin-1")), delimiter, names, is_quoted=not names, is_csv=True)


_LAYOUTS = (
    _Files(
        "\t",
        "u.data",
        "u.item",
        ("movieId", "title", "released", "video_released", "url", *_GENRES),
        "u.user",
        ("customer_id", "age", "gender", "occupation", "zip_code"),
        movie_delimiter="|",
    ),
    _Files(
        "::",
        "ratings.dat",
        "movies.dat",
        ("movieId", "title", "genres"),
        "users.dat",
        ("customer_id", "gender", "age", "occupation", "zip_code"),
    ),
    _Files(",", "ratings.csv", "movies.csv"),
)


def movielens(folder: Path) -> Shop:
    """The shop in an unpacked MovieLens folder.

    Raises:
        DataError: the folder holds none of the layouts, or a file lacks a column.
    """
    for files in _LAYOUTS:
        if (folder / files.ratings).is_file() and (folder / files.movies).is_file():
            break
    else:
        known = "; ".join(f"{files.ratings} and {files.movies}" for files in _LAYOUTS)
        raise DataError(f"{folder} holds no MovieLens data; expected one of: {known}")
    has_users = files.users is not None and (folder / files.users).is_file()
    columns = {table: names for table, names in _COLUMNS.items() if table != "customers" or has_users}
    if not files.movie_names:
        require_columns(folder / files.ratings, header(folder / files.ratings), _RATINGS, "interactions")
        require_columns(folder / files.movies, header(folder / files.movies), ("movieId", "title", "genres"), "items")
    return Shop(SOURCE, columns, _chunks(folder, files, has_users))


def _chunks(folder: Path, files: _Files, has_users: bool) -> Iterator[Chunk]:
    movies = folder / files.movies
    separator = files.movie_delimiter or files.delimiter
    for block in read_blocks(movies, None, files.layout(movies, separator, files.movie_names)):
        yield Chunk.of("items", block, _items(block.rows))
    if has_users and files.users is not None:
        users = folder / files.users
        for block in read_blocks(users, None, files.layout(users, separator, files.user_names)):
            yield Chunk.of("customers", block, {name: block.rows[name] for name in _COLUMNS["customers"]})
    ratings = folder / files.ratings
    names = _RATINGS if files.movie_names else ()
    for block in read_blocks(ratings, _RATINGS, Layout(delimiter=files.delimiter, names=names, is_quoted=not names, is_csv=True)):
        yield _interactions(block)


def _items(rows: pa.RecordBatch) -> dict[str, pa.Array]:
    if "genres" in rows.schema.names:
        genres = pc.if_else(pc.equal(rows["genres"], "(no genres listed)"), None, rows["genres"])
    else:
        genres = joined([pc.if_else(pc.equal(rows[genre], "1"), genre, pa.scalar(None, pa.string())) for genre in _GENRES[1:]], "|")
    year = pc.struct_field(pc.extract_regex(rows["title"], r"\((?P<year>\d{4})\)\s*$"), "year")
    return {
        "item_id": rows["movieId"],
        "title": rows["title"],
        "description": pc.replace_substring(genres, "|", ", "),
        "category": path_of(pc.replace_substring(genres, "|", "\x1f")),
        "attributes": attributes_of({"year": year}),
    }


def _interactions(block: Block) -> Chunk:
    rows = block.rows
    stars = pc.replace_substring_regex(pc.utf8_trim_whitespace(rows["rating"]), r"\.0+$", "")
    is_number = pc.match_substring_regex(stars, r"^[0-5](\.\d+)?$")
    columns = {
        "item_id": rows["movieId"],
        "customer_id": rows["userId"],
        "event": pc.if_else(is_number, pc.binary_join_element_wise("stars", stars, "_"), None),
        "event_time": rows["timestamp"],
    }
    return Chunk.of("interactions", block, columns, TimeFormat(unit="s"))
