"""``rtelasto keys``: keys for streams that leave this machine."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from rtelasto.cli.terminal import console
from rtelasto.host.names import printable_name
from rtelasto.transport.keys import KeyFolder


def keys(
    folder: Path,
    *,
    allow: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    server: tuple[str, Path] | None = None,
) -> None:
    """Make a folder of keys for --keys, or add the public keys of other machines to it.

    Parameters
    ----------
    folder
        The folder; created, with a pair of keys, if it holds none yet.
    allow
        The own.key of a machine that may connect to sockets bound on this one.
    server
        HOST (or HOST:PORT) that this machine connects to, and the file with its own.key.
    """
    made = KeyFolder.make(folder)
    for file in allow:
        console.print(f"may connect: {printable_name(made.allow(file))}")
    if server is not None:
        console.print(f"is connected to: {printable_name(made.trust(*server))}")
    if not allow and server is None:
        _explain(made)


def _explain(made: KeyFolder) -> None:
    own, name = made.path / "own.key", platform.node().split(".")[0].lower() or "this-machine"
    for line in (
        f"public key of this machine: {made.public.decode()}",
        "",
        "Copy it to the other machine; own.key_secret stays here:",
        f"    scp {own} OTHER:{name}.key",
        "There, to let this machine connect to sockets bound on that one:",
        f"    rtelasto keys FOLDER --allow {name}.key",
        "There, to connect to sockets bound on this machine (by the name or address in the endpoint):",
        f"    rtelasto keys FOLDER --server {name} {name}.key",
        "",
        "Do the same in the other direction with its own.key, then use --keys on both sides, here:",
        f"    rtelasto run --keys {made.path}",
    ):
        console.print(printable_name(line), soft_wrap=True)
