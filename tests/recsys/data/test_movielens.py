"""MovieLens: the layouts ml-100k, ml-1m and ml-latest."""

from __future__ import annotations

import datetime as dt

import pytest
from shops import Import, Write

from recsys.data.importers import open_shop
from recsys.errors import DataError

TIME = dt.datetime(1998, 4, 4, 19, 22, 22, tzinfo=dt.UTC)


def test_ml_100k(write: Write, import_source: Import) -> None:
    flags = "|".join("1" if number in (3, 5) else "0" for number in range(19))
    movie = f'1|Misérables, Les "1995" (1995)|01-Jan-1995||http://example.invalid|{flags}\n'
    files = {"u.data": "186\t1\t3\t891717742\n", "u.item": movie.encode("latin-1"), "u.user": "186|24|M|technician|85711\n"}
    done = import_source("movielens", write(files))
    assert done.rows() == [{"item_id": "1", "customer_id": "186", "event": "stars_3", "event_time": TIME}]
    item = done.rows("items")[0]
    assert (item["title"], item["category"]) == ('Misérables, Les "1995" (1995)', ["Animation", "Comedy"])
    assert (item["description"], item["attributes"]) == ("Animation, Comedy", [("year", "1995")])
    customer = {"customer_id": "186", "gender": "M", "age": "24", "occupation": "technician", "zip_code": "85711"}
    assert done.rows("customers") == [customer]


def test_ml_1m(write: Write, import_source: Import) -> None:
    files = {
        "ratings.dat": "1::1193::5::891717742\n1::661::3.5::891717742\n",
        "movies.dat": '1193::Café (1975)::Drama\n661::James: The "Peach" (1996)::Animation|Children\'s\n'.encode("latin-1"),
        "users.dat": "1::F::1::10::48067\n",
    }
    done = import_source("movielens", write(files))
    assert [(row["item_id"], row["event"]) for row in done.rows()] == [("1193", "stars_5"), ("661", "stars_3.5")]
    assert done.column("title", "items") == ["Café (1975)", 'James: The "Peach" (1996)']
    assert done.column("category", "items") == [["Drama"], ["Animation", "Children's"]]
    assert done.column("zip_code", "customers") == ["48067"]


def test_ml_latest(write: Write, import_source: Import) -> None:
    files = {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,891717742\n1,2,0.5,891717742\n",
        "movies.csv": 'movieId,title,genres\n1,"Matrix, The (1999)",Action|Sci-Fi\n2,Babylon 5,(no genres listed)\n',
    }
    done = import_source("movielens", write(files))
    assert done.column("event") == ["stars_4", "stars_0.5"]
    assert done.column("title", "items") == ["Matrix, The (1999)", "Babylon 5"]
    assert done.column("category", "items") == [["Action", "Sci-Fi"], None]
    assert done.column("attributes", "items") == [[("year", "1999")], []]
    assert "customers" not in done.report.tables


def test_a_rating_that_is_none_is_refused(write: Write, import_source: Import) -> None:
    files = {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,891717742\n1,1,good,891717742\n",
        "movies.csv": "movieId,title,genres\n1,A,B\n",
    }
    done = import_source("movielens", write(files), max_bad=0.5)
    assert done.refused() == {"event is empty": 1}


def test_a_folder_without_ratings_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"holds no MovieLens data; expected one of: u.data and u.item; ratings.dat and movies.dat"):
        open_shop("movielens", write({"movies.csv": ""}))


def test_a_file_that_lacks_a_column_is_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"ratings.csv has no column 'userId'; did you mean 'user'\?"):
        open_shop("movielens", write({"ratings.csv": "user,movieId,rating,timestamp\n", "movies.csv": "movieId,title,genres\n"}))
