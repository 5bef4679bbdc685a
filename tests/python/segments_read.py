"""Reads every Parquet segment that the manifests under a folder name with two foreign readers, pyarrow and DuckDB.

Used by the end-to-end tests of the server. Standard output is one JSON line: per table (a signal, or a signal's
part such as `metrics.series`) how many files and rows it has, its columns, and the highest level of its segments; of
samples also what their columns come to: the first and the last time and the sum of the values. The exit code is 1 when
the two readers do not agree.
"""

import argparse
import json
import pathlib
import sys

import duckdb
import pyarrow.parquet


def table_name(path):
    """`tenants/<tenant>/<signal>/segments/<day>/<ulid>[.<part>].parquet` names the table; else the folder does."""
    parts = path.parts
    signal = parts[parts.index("segments") - 1] if "segments" in parts else path.parent.name
    part = path.name.split(".")[1:-1]
    return ".".join([signal, *part])


SAMPLES = """
    select min(timestamp_base_ms + timestamp_offset_ms) as first_ms,
           max(timestamp_base_ms + timestamp_offset_ms) as last_ms,
           sum(coalesce(value, (scaled_base + scaled_offset * scaled_step) / pow(10, scale))) as total
    from samples
"""


def named_files(path):
    """The files of the segments in the newest manifest of each signal, with the segments' levels."""
    newest = {}
    for manifest in sorted(path.rglob("manifest/*.json")):
        newest[manifest.parent] = manifest
    for folder, manifest in newest.items():
        for segment in json.loads(manifest.read_text())["segments"]:
            for part in segment["parts"]:
                name = ".".join(filter(None, [segment["id"], part["name"], "parquet"]))
                yield folder.parent / "segments" / segment["day"] / name, segment["level"]


def read_table(files):
    """Rows and columns as both readers see them; every value is decoded, not only the footer."""
    rows, columns = 0, []
    for file in files:
        table = pyarrow.parquet.ParquetFile(file).read()
        table.validate(full=True)
        rows += table.num_rows
        columns += [name for name in table.column_names if name not in columns]
    relation = duckdb.read_parquet([str(file) for file in files], union_by_name=True)
    decoded = relation.to_arrow_table()
    sums = {}
    if "scaled_offset" in columns:
        row = relation.query("samples", SAMPLES)
        sums = dict(zip(row.columns, row.fetchall()[0], strict=True))
    return sums | {
        "files": len(files),
        "rows": rows,
        "columns": columns,
        "duckdb_rows": decoded.num_rows,
        "duckdb_columns": relation.columns,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=pathlib.Path, help="the store, or any folder of it")
    path = parser.parse_args().path.resolve()
    tables, levels = {}, {}
    for file, level in sorted(named_files(path)):
        name = table_name(file)
        tables.setdefault(name, []).append(file)
        levels[name] = max(level, levels.get(name, 0))
    report = {name: read_table(files) | {"level": levels[name]} for name, files in tables.items()}
    sys.stdout.write(json.dumps({"tables": report}) + "\n")
    is_agreed = all(
        table["rows"] == table["duckdb_rows"] and sorted(table["columns"]) == sorted(table["duckdb_columns"])
        for table in report.values()
    )
    return 0 if is_agreed else 1


if __name__ == "__main__":
    sys.exit(main())
