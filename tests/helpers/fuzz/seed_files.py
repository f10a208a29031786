"""Valid files of every kind that is read, as small as possible: the seeds of the file fuzzer."""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from verasonics_file import write_workspace

from rtelasto.frames.channel import ChannelFormat
from rtelasto.frames.iq import IqFormat, scanner_frame
from rtelasto.frames.rf import Grid, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import StrainFrame
from rtelasto.sinks.hdf5 import RecordingWriter
from rtelasto.sinks.scanner_writers import frame_writer
from rtelasto.sinks.strain_writer import StrainWriter
from rtelasto.sinks.zea_file import GZIP
from rtelasto.wire.rf import encode_rf
from rtelasto_engines.simulate.motion import DisplacementField

PHYSICS = {"sampling_freq_hz": 40e6, "center_freq_hz": 6.25e6, "line_pitch_m": 2e-4}
FORMAT = RfFormat(n_lines=8, n_samples=40, **PHYSICS)
RF = np.random.default_rng(1).integers(-900, 900, (3, 8, 40)).astype(np.int16)


@dataclass(frozen=True)
class Seed:
    """A recording as the bytes of its files; ``opened`` is the file to open, or ``"."`` for the folder."""

    files: dict[str, bytes]
    opened: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> str:
        """The file that is damaged first."""
        return self.opened if self.opened != "." else next(iter(self.files))


def _written(write: Callable[[Path], Any], name: str, **options: Any) -> Seed:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    return Seed(files, name, options)


def npy() -> list[Seed]:
    def save(array: np.ndarray) -> Seed:
        file = io.BytesIO()
        np.save(file, array)
        return Seed({"a.npy": file.getvalue()}, "a.npy", PHYSICS)

    return [save(RF), save(np.asfortranarray(RF.astype(">f4")))]


def npz() -> list[Seed]:
    seeds = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(
            file,
            rf=RF,
            timestamps_s=np.arange(3) * 0.05,
            **{k: np.float64(v) for k, v in PHYSICS.items()},
        )
        seeds.append(Seed({"a.npz": file.getvalue()}, "a.npz", {"dataset": "rf"}))
    return seeds


def metaimage() -> list[Seed]:
    import zlib

    header = (
        b"ObjectType = Image\nNDims = 3\nDimSize = 40 8 3\nElementType = MET_SHORT\n"
        b"ElementSpacing = 0.01925 0.2 1\nUltrasoundImageOrientation = FMA\n"
        b"Seq_Frame0000_Timestamp = 0.0\nSeq_Frame0001_Timestamp = 0.05\n"
        b"Seq_Frame0002_Timestamp = 0.1\n"
    )
    options = {"center_freq_hz": 6.25e6}
    packed = header + b"CompressedData = True\nElementDataFile = "
    return [
        Seed({"a.mha": header + b"ElementDataFile = LOCAL\n" + RF.tobytes()}, "a.mha", options),
        Seed(
            {"a.mhd": header + b"ElementDataFile = a.raw\n", "a.raw": RF.tobytes()},
            "a.mhd",
            options,
        ),
        Seed({"a.mha": packed + b"LOCAL\n" + zlib.compress(RF.tobytes())}, "a.mha", options),
        Seed(
            {"a.mhd": packed + b"a.zraw\n", "a.zraw": zlib.compress(RF.tobytes())}, "a.mhd", options
        ),
    ]


def mat5() -> list[Seed]:
    return [
        _written(
            lambda path, packed=packed: scipy.io.savemat(
                path,
                {"rf": RF.T, "timestamps_s": [0.0, 0.1, 0.2], "note": "x", **PHYSICS},
                do_compression=packed,
            ),
            "a.mat",
            dataset="rf",
        )
        for packed in (False, True)
    ]


def mat73() -> list[Seed]:
    return [
        _written(lambda path: write_workspace(path, {"rf": RF.T, **PHYSICS}), "a.mat", dataset="rf")
    ]


def hdf5() -> list[Seed]:
    def save(path: Path, libver: str) -> None:
        with h5py.File(path, "w", libver=libver) as file:
            rf = file.create_dataset(
                "run/rf", data=RF, chunks=(1, 8, 40), compression="gzip", shuffle=True
            )
            rf.attrs["line_pitch_m"] = 2e-4
            file["sampling_freq_hz"] = 40e6
            file["run/timestamps_ns"] = np.arange(3)
            file["run/center_freq_hz"] = h5py.SoftLink("/fc")
            file["fc"] = 6.25e6

    return [
        _written(functools.partial(save, libver=libver), "a.h5")
        for libver in ("earliest", "latest")
    ]


def _tissue(frame: int) -> DisplacementField:
    x, z = np.meshgrid(np.linspace(-0.002, 0.002, 5), np.linspace(0.0, 0.002, 6), indexing="ij")
    return DisplacementField(-1e-3 * frame * z, 1e-4 * frame * x, -0.002, 0.0, 0.001, 0.0004)


def write_recording(path: Path, *, truth: bool) -> None:
    with RecordingWriter(path, FORMAT, provenance={"seed": 3}) as writer:
        for i in range(3):
            frame = RfFrame(RF[i], FORMAT, FrameStamp(frame_id=i, acquired_ns=1 + i * 50_000_000))
            writer.write(frame, _tissue(i) if truth else None)


def zea() -> list[Seed]:
    return [
        _written(functools.partial(write_recording, truth=truth), "a.h5") for truth in (False, True)
    ]


def strain_file() -> list[Seed]:
    grid = Grid(8, 12, 5e-5, 2e-4)

    def save(path: Path) -> None:
        image = np.random.default_rng(4).normal(-0.01, 0.002, grid.shape).astype(np.float32)
        with StrainWriter(path, FORMAT) as writer:
            for i in range(2):
                writer.write(
                    StrainFrame(image, image, image, grid, (i, i + 1), acquired_ns=i, engine="ncc")
                )

    return [_written(save, "s.h5")]


def segments() -> list[Seed]:
    def save(path: Path) -> None:
        for name in ("rf-01-00001.h5", "rf-01-00002.h5"):
            write_recording(path / name, truth=False)

    return [_written(save, ".")]


def sent() -> list[Seed]:
    """Channel data and IQ as the recorder keeps them, a frame in each of two segments."""
    channels = ChannelFormat(
        n_acquisitions=2, n_channels=8, n_samples=40, sampling_freq_hz=25e6, center_freq_hz=6.25e6,
        element_pitch_m=2e-4, start_time_s=6e-6,
    )  # fmt: skip
    iq = IqFormat(**PHYSICS, n_lines=8, n_samples=40, demodulation_freq_hz=6.25e6)
    rng = np.random.default_rng(5)
    samples: list[tuple[Any, np.ndarray]] = [
        (channels, rng.integers(-900, 900, channels.shape).astype(np.int16)),
        (iq, rng.normal(0.0, 900.0, (8, 40, 2)).astype(np.float32).view(np.complex64)[..., 0]),
    ]

    def save(path: Path, sent_format: Any, values: np.ndarray) -> None:
        for i in range(2):
            frame = scanner_frame(values, sent_format, FrameStamp(i, 1 + i * 50_000_000))
            name = path / f"rf-01-0000{i + 1}.h5"
            with frame_writer(name, frame, provenance={}, packing=GZIP) as writer:
                writer.write(frame, header=bytes(encode_rf(frame, stream="s", seq=i)[1]))

    return [_written(functools.partial(save, sent_format=f, values=v), ".") for f, v in samples]


def _workspace() -> dict[str, Any]:
    """Two plane waves of an array of 8 elements without a multiplexer."""
    rows, n = 96, 40
    buffer = np.random.default_rng(2).integers(-900, 900, (rows, 8, 2)).astype(np.int16)
    receive = [
        {
            "framenum": frame + 1, "bufnum": 1, "mode": 0, "startDepth": 5.0, "sampleMode": "NS200BW",
            "demodFrequency": 6.25, "decimSampleRate": 25.0, "quadDecim": 1.0,
            "startSample": 1 + a * n, "endSample": (a + 1) * n,
        }
        for frame in range(2)
        for a in range(2)
    ]  # fmt: skip
    return {
        "Trans": {
            "units": "wavelengths", "frequency": 6.25, "numelements": 8, "spacingMm": 0.2,
            "lensCorrection": 0.5, "ConnectorES": np.arange(1, 9)[:, None],
        },
        "Resource": {
            "Parameters": {"speedOfSound": 1540.0},
            "RcvBuffer": {"rowsPerFrame": rows, "colsPerFrame": 8, "numFrames": 2, "lastFrame": 2},
        },
        "Receive": receive,
        "TX": [
            {"focus": 0, "Origin": [0, 0, 0], "Apod": np.ones(8), "Delay": np.zeros(8)}
            for _ in range(2)
        ],
        "TW": {"peak": 1.25},
        "Event": [{"tx": 1 + i % 2, "rcv": i + 1} for i in range(4)],
        "RcvData": (buffer,),
    }  # fmt: skip


def verasonics() -> list[Seed]:
    whole = _workspace()
    beside = {name: value for name, value in whole.items() if name != "RcvData"}

    def save_beside(path: Path) -> None:
        write_workspace(path, beside)
        path.with_suffix(".bin").write_bytes(whole["RcvData"][0].tobytes(order="F"))

    return [
        _written(lambda path: write_workspace(path, whole), "a.mat"),
        _written(save_beside, "a.mat"),
    ]


def uff() -> list[Seed]:
    try:
        import pyuff_ustb as pyuff
    except ImportError:
        return []
    geometry = np.zeros((7, 8))
    geometry[0] = 2e-4 * (np.arange(8) - 3.5)
    still = pyuff.Point(azimuth=0.0, elevation=0.0, distance=0.0)
    sequence = [
        pyuff.Wave(
            wavefront=pyuff.Wavefront.plane,
            source=pyuff.Point(azimuth=angle, elevation=0.0, distance=np.inf),
            origin=still,
            apodization=pyuff.Apodization(),
            delay=0.0,
        )
        for angle in (-0.05, 0.05)
    ]
    data = np.random.default_rng(3).normal(0, 100, (40, 8, 2, 2)).astype(np.float32)
    channel_data = pyuff.ChannelData(
        sampling_frequency=25e6, initial_time=6e-6, sound_speed=1540.0, modulation_frequency=0.0,
        sequence=sequence, probe=pyuff.Probe(geometry=geometry, origin=pyuff.Point()),
        pulse=pyuff.Pulse(center_frequency=6.25e6), PRF=1000.0, data=data,
    )  # fmt: skip
    return [
        _written(
            lambda path: channel_data.write(
                str(path), "channel_data", ignore_missing_compulsory_fields=True
            ),
            "a.uff",
        )
    ]


KINDS: dict[str, Callable[[], list[Seed]]] = {
    f.__name__: f
    for f in (
        npy,
        npz,
        metaimage,
        mat5,
        mat73,
        hdf5,
        zea,
        strain_file,
        segments,
        sent,
        verasonics,
        uff,
    )
}


@functools.cache
def seeds(kind: str) -> list[Seed]:
    """Return the seeds of a kind; an empty list if the package that writes it is missing."""
    return KINDS[kind]()
