"""Writes the summary of an archive: a table as CSV and Parquet, and a page of thumbnails."""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from html import escape
from pathlib import Path
from urllib.parse import quote

from rtelasto.errors import MissingExtraError
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.offline.archive.row import Row, State
from rtelasto.sinks.output_file import OutputFile

CSV, PARQUET, PAGE = "summary.csv", "summary.parquet", "summary.html"


def write_summary(folder: Path, rows: Sequence[Row]) -> None:
    """Write ``summary.csv``, ``summary.parquet`` and ``summary.html`` into a folder, replacing old ones.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    RtelastoError
        If a file cannot be written.
    """
    rows = sorted(rows, key=lambda row: row.recording)
    for name, data in (
        (CSV, _csv(rows).encode()),
        (PARQUET, _parquet(rows)),
        (PAGE, _page(folder, rows).encode()),
    ):
        with OutputFile(folder / name) as temporary:
            temporary.write_bytes(data)


def counts(rows: Sequence[Row]) -> str:
    """Return how many recordings are in which state: "57 done, 3 failed"."""
    number = Counter(row.state for row in rows)
    return ", ".join(f"{number[state]} {state}" for state in State if number[state])


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Row)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue()


def _parquet(rows: Sequence[Row]) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("summary.parquet", "archive") from None
    types = {"str": pa.string(), "State": pa.string(), "int": pa.int64(), "float": pa.float64()}
    schema = pa.schema([(field.name, types[str(field.type)]) for field in fields(Row)])
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema), sink)
    return sink.getvalue()


def _page(folder: Path, rows: Sequence[Row]) -> str:
    bad = [row for row in rows if row.state is State.FAILED]
    failures = "".join(f"<li>{escape(row.recording)}: {escape(row.reason)}</li>" for row in bad)
    listed = f"<h2>Failed</h2><ul>{failures}</ul>" if bad else ""
    cards = "".join(_card(folder, row) for row in rows if row.state is not State.FAILED)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>rtelasto: archive</title>"
        f"<style>{_STYLE}</style><h1>{escape(counts(rows))}</h1>"
        f"<p>{escape(NOT_A_MEDICAL_DEVICE)}</p>{listed}<main>{cards}</main></html>"
    )


def _card(folder: Path, row: Row) -> str:
    name = escape(Path(row.recording).name)
    facts = (
        f"{row.pairs} pairs of {row.frames} frames",
        f"correlation {_figure(row.median_correlation, '.3f')}",
        f"press {_figure(100.0 * row.press_strain, '+.2f')} %, "
        f"release {_figure(100.0 * row.release_strain, '+.2f')} %",
        f"pattern stability {_figure(row.pattern_stability, '.2f')}",
        row.losses or "no losses",
    )
    picture = ""
    if row.picture:
        shown, target = (_link(folder, path) for path in (row.picture, row.report or row.picture))
        image = f"<img loading=lazy width=320 alt='strain of {name}' src='{shown}'>"
        picture = f"<a href='{target}'>{image}</a>"
    report = f"<p><a href='{_link(folder, row.report)}'>report</a></p>" if row.report else ""
    return (
        f"<article>{picture}<h2><a href='{_link(folder, row.out)}'>{name}</a></h2>"
        f"<p>{'<br>'.join(escape(fact) for fact in facts)}</p>{report}</article>"
    )


def _link(folder: Path, path: str) -> str:
    return escape(quote(os.path.relpath(path, folder).replace(os.sep, "/")), quote=True)


def _figure(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
article { border: 1px solid #ccc; border-radius: 6px; padding: 0.7rem; overflow-wrap: anywhere; }
article img { max-width: 100%; }
article h2 { font-size: 1rem; margin: 0.4rem 0; }
"""
