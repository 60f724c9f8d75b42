"""Writes the files of testdata/parquet: the same rows as pyarrow and polars write them, in many ways.

pip install pyarrow==21.0.0 polars==1.44.2 && python variants.py FOLDER
"""
import datetime
import decimal
import os
import sys

import polars
import pyarrow
import pyarrow.parquet as parquet

ROWS = 1500
START = datetime.datetime(2001, 1, 1)


def column(kind, value, some=0):
    """A column of which every value at a multiple of some is missing; and for a while none, and all, are."""
    rows = [value(i) for i in range(ROWS)]
    if some:
        rows = [None if i % some == 0 and not 500 < i < 800 or 1000 < i < 1030 else v for i, v in enumerate(rows)]
    return pyarrow.array(rows, kind)


TABLE = pyarrow.table({
    "few": column(pyarrow.int64(), lambda i: i * i % 17 - 8, 5),
    "many": column(pyarrow.int64(), lambda i: i * 7919 % 1499 * 1000003, 7),
    "late": column(pyarrow.int64(), lambda i: 1 if i < 700 else i),
    "small": column(pyarrow.int8(), lambda i: i % 251 - 125, 11),
    "unsigned": column(pyarrow.uint32(), lambda i: 2**32 - 1 - i * i % 100, 3),
    "real": column(pyarrow.float64(), lambda i: i % 1000 / 8 - 30),
    "maybe": column(pyarrow.float64(), lambda i: i * 1.25, 4),
    "single": column(pyarrow.float32(), lambda i: i % 97 / 4, 9),
    "yes": column(pyarrow.bool_(), lambda i: i % 3 == 0 or i > 1300, 8),
    "word": column(pyarrow.string(), lambda i: ["ORD", "", "Zürich", "a word of more than sixteen bytes"][i * i % 23 % 4], 6),
    "name": column(pyarrow.string(), lambda i: "name-%05d" % (i // 2)),
    "text": column(pyarrow.string(), lambda i: "t%d" % (i % 100) if i < 400 else "text %d" % (i * 31), 10),
    "day": column(pyarrow.date32(), lambda i: START.date() + datetime.timedelta(days=i % 400 - 50), 12),
    "at": column(pyarrow.timestamp("us"), lambda i: START + datetime.timedelta(seconds=i * 61, microseconds=i % 3), 13),
    "cost": column(pyarrow.decimal128(12, 3), lambda i: decimal.Decimal(i * 13 - 999).scaleb(-3), 14),
    "none": column(pyarrow.int32(), lambda i: None),
})

DELTAS = {"few": "DELTA_BINARY_PACKED", "many": "DELTA_BINARY_PACKED", "late": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED",
          "at": "DELTA_BINARY_PACKED", "day": "DELTA_BINARY_PACKED", "word": "DELTA_LENGTH_BYTE_ARRAY", "name": "DELTA_BYTE_ARRAY",
          "text": "DELTA_BYTE_ARRAY", "real": "BYTE_STREAM_SPLIT", "maybe": "BYTE_STREAM_SPLIT", "single": "BYTE_STREAM_SPLIT", "cost": "DELTA_BYTE_ARRAY",
          "yes": "RLE"}

ARROW = {
    "snappy": {"compression": "snappy"},
    "v2-zstd": {"compression": "zstd", "data_page_version": "2.0", "data_page_size": 800, "write_batch_size": 40, "row_group_size": 700},
    "v2-snappy": {"compression": "snappy", "data_page_version": "2.0", "row_group_size": 1400},
    "fallback-gzip": {"compression": "gzip", "dictionary_pagesize_limit": 400, "data_page_size": 900, "write_batch_size": 64},
    "fallback-v2": {"compression": "zstd", "dictionary_pagesize_limit": 800, "data_page_version": "2.0", "write_batch_size": 64},
    "plain-zstd": {"compression": "zstd", "use_dictionary": False, "write_statistics": False},
    "deltas-zstd": {"compression": "zstd", "use_dictionary": False, "column_encoding": DELTAS},
    "deltas-v2": {"compression": "snappy", "use_dictionary": False, "column_encoding": DELTAS, "data_page_version": "2.0", "data_page_size": 600, "write_batch_size": 50},
    "checked": {"compression": "zstd", "write_page_checksum": True, "row_group_size": 400},
    "old": {"compression": "zstd", "use_deprecated_int96_timestamps": True, "store_decimal_as_integer": True, "version": "1.0"},
}
POLARS = {
    "polars-zstd": {},
    "polars-snappy": {"compression": "snappy", "row_group_size": 600, "data_page_size": 1000},
    "polars-gzip": {"compression": "gzip", "data_page_size": 600, "statistics": False},
}


def main():
    folder = sys.argv[1]
    for name, options in ARROW.items():
        parquet.write_table(TABLE, os.path.join(folder, name + ".parquet"), **options)
    for name, options in POLARS.items():
        polars.from_arrow(TABLE).write_parquet(os.path.join(folder, name + ".parquet"), **options)
    with parquet.ParquetWriter(os.path.join(folder, "empty-groups.parquet"), TABLE.schema, compression="none") as out:
        for rows in (0, 50, 0, 3, 0):
            out.write_table(TABLE.slice(0, rows))
    nothing = pyarrow.table({"id": pyarrow.array(["a", "b", None] * 100), "nothing": pyarrow.nulls(300), "x": pyarrow.array([None] * 300, pyarrow.float64())})
    parquet.write_table(nothing, os.path.join(folder, "..", "null-pyarrow.parquet"), row_group_size=200)
    polars.from_arrow(nothing).write_parquet(os.path.join(folder, "..", "null-polars.parquet"))


main()
