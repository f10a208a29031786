"""``rtelasto bench accuracy``: compare the engines with the truth of simulated tissue."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.bench import write_json
from rtelasto.cli.terminal import busy, console, notes
from rtelasto.errors import RtelastoError
from rtelasto.host.names import printable_name
from rtelasto.host.threads import check_threads
from rtelasto.sinks.output_check import FIGURES, PICTURE, check_outputs
from rtelasto.sources import open_recording

# Columns whose quartiles the text tables show.
_WITH_QUARTILES = 110


def accuracy(
    *,
    engines: str | None = None,
    published: int = 10,
    random: int = 40,
    channel: int = 0,
    recordings: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    seed: int = 9_000_000,
    gates: str | None = None,
    threads: int | None = None,
    json_file: Path | None = None,
    png: Path | None = None,
    force: bool = False,
) -> None:
    """Score the engines on held-out simulated tissue whose motion is known.

    Published-style tissues (3 × 5 cm, one inclusion, noise only), randomised ones (any probe, motion
    and fault) and, on request, tissues whose echoes a second simulator computes element by element. The
    classical engines are also scored with the strain window that matches the edge width of the first
    other engine most closely without being wider. That column is named ENGINE/WINDOW. docs/accuracy.md
    defines every figure.

    Examples:

    `rtelasto bench accuracy`

    `rtelasto bench accuracy --engines cnn,ncc --published 2 --random 0 --png accuracy.png`

    `rtelasto bench accuracy --gates layers,slip --engines cnn,cnn-lateral,ncc`

    Parameters
    ----------
    engines
        Engines to compare, separated by commas; by default all that `rtelasto engines` lists. The
        edges of the classical ones are matched to those of the first network.
    published
        Number of published-style tissues.
    random
        Number of randomised tissues.
    channel
        Number of tissues from the second simulator (PyMUST, half a minute each).
    recordings
        Real recordings to run the engines on as well; the option can be repeated. They have
        no truth: post-warp correlation, SNRe in uniform windows, agreement of neighbouring pairs.
    seed
        Seed of the first tissue, at least 9000000; lower seeds are for training.
    gates
        Print what the successor of the first engine has to reach instead: `all` groups of rows, or
        some, separated by commas; docs/second-network.md names them. `--published` and `--recordings`
        apply; the other numbers of tissues, `--seed` and `--threads` do not.
    threads
        Cores to use; by default all that are available to this process.
    json_file
        Also write every figure of every pair to this file.
    png
        Also draw an example and the agreement with the truth into this file.
    force
        Replace existing files even if rtelasto did not write them; never a file of a recording.
    """
    from rtelasto.accuracy.compare import Competitor, compare
    from rtelasto.accuracy.recordings import (
        RecordingScore,
        lowest_lead,
        recording_table,
        score_recording,
    )
    from rtelasto.accuracy.summary import ratios, shown_columns
    from rtelasto.accuracy.tables import as_json, binned_table, summary_table
    from rtelasto.accuracy.tissues import KINDS, Kind, held_out_pairs
    from rtelasto.pipeline.engines import engine_names, open_engine

    check_threads(threads)
    counts: dict[Kind, int] = {"published": published, "random": random, "channel": channel}
    total = sum(counts.values())
    if min(counts.values()) < 0 or total + len(recordings) < 1:
        raise RtelastoError(
            "published, random and channel must not be negative and not all 0 without recordings, "
            f"got {published}, {random} and {channel}"
        )
    listed = engine_names() if engines is None else engines.split(",")
    names = [name.strip() for name in listed if name.strip()]
    if not names or len(set(names)) < len(names):
        raise RtelastoError(f"engines must name each engine once, got {engines!r}")
    inputs: list[Path] = []
    for path in recordings:
        with open_recording(path) as opened:
            inputs += opened.files
    check_outputs(
        ("--json-file", json_file, FIGURES), ("--png", png, PICTURE), inputs=inputs, force=force
    )
    if gates is not None:
        if png is not None:
            raise RtelastoError("png draws no gates: leave out --png or --gates")
        _print_gates(gates, names, published, recordings, json_file)
        return
    competitors = [Competitor(open_engine(name, threads=threads), name) for name in names]
    with busy(f"tissue 1 of {total}") as show:
        result = compare(
            competitors,
            itertools.chain.from_iterable(
                held_out_pairs(kind, count, first_seed=seed) for kind, count in counts.items()
            ),
            progress=lambda done: show(f"tissue {min(done + 1, total)} of {total}"),
        )
    shown = shown_columns(result)
    out = console
    for kind in KINDS:
        if not any(score.kind == kind for score in result.scores):
            continue
        out.print(summary_table(result, shown, kind, quartiles=out.width >= _WITH_QUARTILES))
        if kind == "random":
            out.print(binned_table(result, shown))
        for metric, ratio in ratios(result, shown, kind).items():
            out.print(
                f"{shown.reference} over the best classic with edges no wider, {metric}: {ratio:.2f}"
            )
        out.print()
    recorded: list[RecordingScore] = []
    for path in recordings:
        with notes.status(f"recording {printable_name(path.name)}"):
            recorded += score_recording(path, competitors)
    if recorded:
        columns = shown.columns or tuple(
            dict.fromkeys(score.column for score in recorded if score.column.own)
        )
        out.print(recording_table(recorded, columns))
        first = columns[0].label
        lead = lowest_lead(recorded, first, "correlation")
        out.print(f"{first} over the best other engine, post-warp correlation, least: {lead:+.4f}")
    if json_file is not None:
        write_json(json_file, as_json(result, shown, recorded))
    if png is not None:
        from rtelasto.accuracy.picture import save_comparison

        save_comparison(png, result, shown)


def _print_gates(
    groups: str,
    engines: list[str],
    pairs: int,
    recordings: tuple[Path, ...],
    json_file: Path | None,
) -> None:
    from rich.table import Table

    from rtelasto.accuracy.gates import GROUPS, GateOptions, Row, as_json, chosen

    options = GateOptions(pairs, recordings)
    table = Table("", *(printable_name(Path(name).stem) for name in engines), "to reach", box=None)
    rows: list[Row] = []
    for group in chosen(groups):
        try:
            with busy(group) as show:
                for row in GROUPS[group](engines, options):
                    title, values, target = row
                    show(f"{group}: {title}")
                    rows.append(row)
                    cells = [f"{values[n]:.3g}" if n in values else "–" for n in engines]
                    table.add_row(title, *cells, target)
        except RtelastoError as error:
            notes.print(f"{group}: left out ({error})")
    console.print(table)
    if json_file is not None:
        write_json(json_file, as_json(rows))
