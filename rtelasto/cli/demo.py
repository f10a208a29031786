"""``rtelasto demo``: the whole path of a frame, in real processes on this machine."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from rich.progress import Progress

from rtelasto.cli.terminal import console, notes, print_table
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import DEFAULT_ENGINE
from rtelasto.host.names import printable_name
from rtelasto.host.signal_mask import kept_from_children
from rtelasto.host.threads import limit_threads
from rtelasto.offline.simulate import write_sequence
from rtelasto.sinks.output_check import PICTURE, SIMULATION, check_outputs
from rtelasto.sinks.picture import save_picture
from rtelasto.sources import open_recording
from rtelasto.telemetry.counters import losses
from rtelasto.telemetry.latency import Latencies
from rtelasto.transport.receivers import StrainReceiver
from rtelasto.wire.strain import StrainMessage

# Most of it is compilation on a first run: minutes on a busy machine, or where nothing can be cached.
_START_S = 600.0
# Without a frame for this long, one of the processes hangs.
_SILENCE_S = 60.0


def demo(
    *,
    out: Path = Path("rtelasto-demo"),
    engine: str = DEFAULT_ENGINE,
    frames: int = 60,
    fps: float = 10.0,
    threads: int | None = None,
    rf: str = "tcp://127.0.0.1:5655",
    strain: str = "tcp://127.0.0.1:5656",
    force: bool = False,
) -> None:
    """Simulate a hand-held press, replay it over ZeroMQ, run the pipeline, receive and draw the strain.

    Parameters
    ----------
    out
        Folder for the recording (press.h5) and the picture (strain.png).
    engine
        Engine to run.
    frames
        Frames to simulate, 2608 × 128 each.
    fps
        Rate at which they are replayed.
    threads
        Cores that each process uses; by default all that are available to it.
    rf
        Loopback endpoint for the RF frames.
    strain
        Loopback endpoint for the strain frames.
    force
        Replace files of these names in the folder even if the demo did not write them.
    """
    limit_threads(threads)
    if frames < 2:
        raise RtelastoError(f"frames must be at least 2, got {frames}")
    started = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RtelastoError(f"{out}: cannot be created ({error.strerror})") from None
    recording, picture = out / "press.h5", out / "strain.png"
    check_outputs(("recording", recording, SIMULATION), ("picture", picture, PICTURE), force=force)
    messages: list[StrainMessage] = []
    run = ["run", "--rf", rf, "--strain", strain, "--engine", engine]
    if threads is not None:
        run += ["--threads", str(threads)]
    with (
        StrainReceiver(strain, policy="every") as receiver,
        # Start the pipeline first: it compiles and loads its engine while the press is simulated.
        _Child(*run) as runner,
        Progress(console=notes) as bar,
    ):
        simulating = bar.add_task("simulating", total=frames)
        write_sequence(
            recording,
            n_frames=frames,
            frame_rate_hz=20.0,
            force=force,
            progress=lambda done, _: bar.update(simulating, completed=done),
        )
        receiving = bar.add_task("waiting for the pipeline to load", total=frames - 1)
        _wait_until_ready(receiver, runner)
        bar.update(receiving, description="live strain")
        replay = ("replay", str(recording), "--rf", rf, "--fps", str(fps), "--wait-s", "60")
        with _Child(*replay) as sender:
            for message in _strain(receiver, runner, sender):
                if not messages:
                    first_s = time.monotonic() - started
                messages.append(message)
                bar.advance(receiving)
    if not messages:
        raise RtelastoError(
            f"no strain frame arrived at {strain}: run again with other --rf and --strain ports"
        )
    _draw(recording, messages, picture)
    _print_summary(messages, first_s, frames, time.monotonic() - started)
    console.print(f"\nrecording {printable_name(recording)}\npicture   {printable_name(picture)}")


class _Child:
    """A command of this program as a process, ended when its ``with`` block ends."""

    def __init__(self, *arguments: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        with kept_from_children():
            self.process = subprocess.Popen(
                # Not a module of the same name in the current folder.
                [sys.executable, "-P", "-m", "rtelasto", *arguments],
                stdout=self._log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()

    def check(self) -> None:
        """Raise if the process has failed; the message is the last line that it printed."""
        if self.process.poll() in (None, 0):
            return
        self._log.seek(0)
        # Another process wrote it, in the encoding that its environment asks for.
        text = self._log.read().decode("utf-8", "replace")
        lines = text.strip().splitlines() or ["no output"]
        raise RtelastoError(f"a process of the demo failed: {lines[-1]}")


def _wait_until_ready(receiver: StrainReceiver, runner: _Child) -> None:
    """Wait for a status message, which means that the engine is loaded and the subscription works."""
    give_up = time.monotonic() + _START_S
    while not receiver.counters.wait_for("statuses", 1, 1.0):
        runner.check()
        if time.monotonic() > give_up:
            raise RtelastoError(f"the pipeline was not ready after {_START_S:.0f} s")


def _strain(receiver: StrainReceiver, runner: _Child, sender: _Child) -> Iterator[StrainMessage]:
    """Yield strain messages until the sender is done and a second passes without one."""
    heard = time.monotonic()
    while time.monotonic() - heard < _SILENCE_S:
        message = receiver.get(1.0)
        if message is not None:
            heard = time.monotonic()
            yield message
            continue
        runner.check()
        sender.check()
        if sender.process.poll() is not None:
            return


def _draw(recording: Path, messages: list[StrainMessage], path: Path) -> None:
    strongest = max(messages, key=lambda message: abs(message.frame.applied_strain)).frame
    with open_recording(recording) as opened:
        save_picture(
            path,
            strongest,
            opened.frame_with_id(strongest.frame_ids[0]),
            title=f"simulated press · {strongest.engine}",
        )


def _print_summary(
    messages: list[StrainMessage], first_s: float, frames: int, seconds: float
) -> None:
    latencies = Latencies()
    for message in messages:
        if message.clock == "monotonic":
            latencies.add(message.frame.published_ns - message.frame.acquired_ns)
    drops = messages[-1].frame.drops
    lost = losses(drops)
    print_table(
        "rtelasto demo",
        {
            "RF frames sent": frames,
            "strain frames out": len(messages),
            "frames without a partner": drops.get("pair.first", 0),
            "frames that were only partners": drops.get("partner_only", 0),
            "dropped": ", ".join(f"{k} {v}" for k, v in lost.items()) or "none",
            "latency, send to publish": latencies.summary(),
            "median correlation": f"{np.median([m.frame.quality for m in messages]):.3f}",
            "first strain after": f"{first_s:.1f} s",
            "in all": f"{seconds:.1f} s",
        },
    )
