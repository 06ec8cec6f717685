"""A published data set as a folder of tables in our own contract, for `segrec import tables` and whatever measures a shop as it lives.

    python -m benchmarks.published beauty --data PUBLIC --out tables/beauty
    segrec import tables tables/beauty --out shops/beauty

Of Amazon 2014. Beauty and Sports: who took what up and when, short titles, brands, and categories from broad to narrow. Every line counts
as a purchase; there are no prices and no texts by customers. Musical Instruments ("instruments"): every review, taken as a purchase of the
same day too, with titles, one category and prices.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from recsys.errors import DataError

SETS = {"beauty": "amazon2014_beauty", "sports": "amazon2014_sports_outdoors", "instruments": "amazon2014_musical_instruments"}
NO_BRAND = "Unknown"


def main() -> None:
    """Read, write, say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    args = parser.parse_args()
    try:
        write_tables(args.set, args.data, args.out)
    except DataError as error:
        parser.error(str(error))
    print(f"tables in {args.out}; next: segrec import tables {args.out} --out shops/{args.set}")


def write_tables(name: str, data: Path, out: Path) -> None:
    """The tables of one of SETS, from its files in `data`. DataError: one of these is not there."""
    is_reviewed = name == "instruments"
    lines, items = (data / f"{SETS[name]}_{table}.parquet" for table in ("reviews" if is_reviewed else "interactions", "items"))
    if missing := [str(path) for path in (lines, items) if not path.is_file()]:
        raise DataError(f"there is no {' and no '.join(missing)}; --data names the folder of the public data")
    out.mkdir(parents=True, exist_ok=True)
    told, sold = pd.read_parquet(lines), pd.read_parquet(items)
    tables = {"interactions": interactions(told), "items": priced(sold) if is_reviewed else catalogue(sold)}
    if is_reviewed:
        tables["reviews"] = reviews(told)
    for table, rows in tables.items():
        rows.to_parquet(out / f"{table}.parquet", index=False)


def reviews(lines: pd.DataFrame) -> pd.DataFrame:
    """The table of reviews."""
    names = {"user_id": "customer_id", "review_title": "title", "review_text": "text", "helpful_votes": "helpful_count"}
    times = pd.to_datetime(lines.timestamp, unit="s", utc=True)
    return lines.rename(columns=names)[[*names.values(), "item_id", "rating"]].assign(event_time=times)


def priced(items: pd.DataFrame) -> pd.DataFrame:
    """The table of items that have prices, and one category each."""
    return items[["item_id", "title", "price"]].assign(category=[[category] for category in items.category])


def interactions(lines: pd.DataFrame) -> pd.DataFrame:
    """The table of interactions; the published order within a day means nothing, and is kept."""
    times = pd.to_datetime(lines.timestamp, unit="s", utc=True)
    return pd.DataFrame({"customer_id": lines.user_id, "item_id": lines.item_id, "event": "purchase", "event_time": times})


def catalogue(items: pd.DataFrame) -> pd.DataFrame:
    """The table of items: of the published attributes the first is the brand, the others are the category path."""
    brands = [attributes[0] if len(attributes) and attributes[0] != NO_BRAND else None for attributes in items.attributes]
    paths = [list(attributes[1:]) for attributes in items.attributes]
    return pd.DataFrame({"item_id": items.item_id, "title": items.short_title, "brand": brands, "category": paths})


if __name__ == "__main__":
    main()
