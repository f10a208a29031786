"""A damaged or hostile file for every number, for the file fuzzer."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path
from random import Random

from fuzz.hdf5_edits import edited
from fuzz.mutate import INTERESTING, damage
from fuzz.seed_files import Seed, seeds

HDF5_KINDS = ("mat73", "hdf5", "zea", "strain_file", "segments", "sent", "verasonics", "uff")


def case(kind: str, rng: Random) -> Seed:
    """Return a seed of the kind with damage to one of its files, usually the one that is opened."""
    seed = rng.choice(seeds(kind))
    name = seed.main if rng.random() < 0.85 else rng.choice(list(seed.files))
    return Seed(
        seed.files | {name: _changed(kind, name, seed.files[name], rng)},
        seed.opened,
        _options(seed, rng),
    )


def _options(seed: Seed, rng: Random) -> dict[str, object]:
    options = dict(seed.options)
    if rng.random() < 0.1:
        options["frame_rate_hz"] = 20.0
    if rng.random() < 0.05 and "center_freq_hz" in options:
        del options["center_freq_hz"]  # to be estimated from the samples
    return options


def _changed(kind: str, name: str, data: bytes, rng: Random) -> bytes:
    if kind in HDF5_KINDS and not name.endswith(".bin"):
        if rng.random() < 0.6:
            data = edited(data, rng)
            if rng.random() < 0.7:
                return data
        return damage(data, rng, within=4096)
    structured = {"npy": _npy, "npz": _npz, "metaimage": _metaimage, "mat5": _mat5}.get(kind)
    if structured is not None and rng.random() < 0.5:
        data = structured(data, rng)
        if rng.random() < 0.6:
            return data
    return damage(data, rng, within=600)


def _npy(data: bytes, rng: Random) -> bytes:
    """Replace the header by other shapes, types, and Python literals that are deep, long or not a header."""
    size = rng.choice((0, 1, 2, 40, -1, *INTERESTING))
    headers = (
        f"{{'descr': '<i2', 'fortran_order': False, 'shape': (3, 8, {size})}}",
        f"{{'descr': '<i2', 'fortran_order': {size}, 'shape': ({size}, {size}, {size})}}",
        f"{{'descr': '{rng.choice(('|O', '<c8', '|V8', '<U9', '|b1', '>f8', '<M8[ns]', '<f2'))}', "
        "'fortran_order': False, 'shape': (3, 8, 40)}",
        "{'descr': [('a', '<i2'), ('b', '<f4', (2,))], 'fortran_order': False, 'shape': (3, 8)}",
        "(" * 5000 + ")" * 5000,
        "[" * 200 + "]" * 200,
        "{" + "'a': 1, " * 9000 + "}",
        "-" * 9000 + "1",
        f"{{'descr': '<i2', 'fortran_order': False, 'shape': {(1,) * 70}}}",
        f"{{'descr': '<i2', 'fortran_order': True, 'shape': (8, 40, {size}, 1)}}",
    )
    header = rng.choice(headers).encode() + b"\n"
    version = rng.choice((1, 1, 2, 3, 9))
    if version == 1:
        length = struct.pack("<H", min(len(header), 65535))
    else:
        length = struct.pack("<I", rng.choice((len(header), len(header), 2**31, 2**32 - 1)))
    return b"\x93NUMPY" + bytes((version, 0)) + length + header + data[128:]


def _npz(data: bytes, rng: Random) -> bytes:
    """Create members with other headers, names, sizes and compression; decompression bombs."""
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(memory, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            how = rng.random()
            if how < 0.2:
                content = _npy(content, rng)
            elif how < 0.35:
                content = damage(content, rng, within=200)
            elif how < 0.4:
                content += bytes(1 << 22)
            packing = rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            name = (
                info.filename
                if rng.random() < 0.9
                else rng.choice(("../rf.npy", "/rf.npy", "rf", "é.npy"))
            )
            new.writestr(name, content, packing)
    return memory.getvalue()


def _metaimage(data: bytes, rng: Random) -> bytes:
    """Change values in the lines of the header."""
    head, mark, rest = data.partition(b"ElementDataFile")
    if not mark:
        return damage(data, rng)
    lines = head.split(b"\n")[:-1]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        values: tuple[object, ...] = (
            rng.choice(INTERESTING), -1, 0, "40 8 3 1", "4 -8 3", "1e3 8", "nan nan nan", "inf 0 0", "",
            "9" * 5000, "True", "False", "MET_DOUBLE", "1e999999999", "NFA", "40 8 " + "9" * 400,
            "1e-999999", "sNaN", "Infinity", f"{rng.choice(INTERESTING)} {rng.choice(INTERESTING)} 3",
        )  # fmt: skip
        tag = lines[at].partition(b"=")[0] if rng.random() < 0.8 else b"HeaderSize "
        lines[at] = tag + b"= " + str(rng.choice(values)).encode()
    place, newline, rest = rest.partition(b"\n")
    if rng.random() < 0.3:
        names = (
            b"../a.raw",
            b"/etc/passwd",
            b"/dev/zero",
            b".",
            b"..",
            b"LIST",
            b"a%03d.raw 1 3 1",
            b"a\0b",
            b"",
        )
        place = b" = " + rng.choice((*names, b"x" * 5000, b"a.mhd", b"LOCAL"))
    return b"\n".join(lines) + b"\n" + mark + place + newline + rest


def _mat5(data: bytes, rng: Random) -> bytes:
    """Damage the content of compressed elements and compress it again; decompression bombs."""
    out, at = bytearray(data[:128]), 128
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        content = data[at + 8 : at + 8 + length]
        at += 8 + length
        content = (
            zlib.decompress(content) if kind == 15 else struct.pack("<II", kind, length) + content
        )
        if rng.random() < 0.4:
            content = damage(content, rng, within=80)
        if rng.random() < 0.03:
            content += bytes(1 << 23)
        if rng.random() < 0.5:
            content = zlib.compress(content)
            out += struct.pack("<II", 15, len(content)) + content
        else:
            out += content
    return bytes(out)


def write(seed: Seed, folder: Path) -> Path:
    """Write the files of a case to an empty folder; return the path to open."""
    for name, data in seed.files.items():
        (folder / name).write_bytes(data)
    return folder if seed.opened == "." else folder / seed.opened
