"""Settings of a live run: one frozen object, filled from a TOML file and from flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.network.runtimes import check_runtime
from rtelasto.errors import RtelastoError
from rtelasto.frames.strain import DEFAULT_ENGINE
from rtelasto.gpu.probe import DEVICES
from rtelasto.host.threads import check_threads
from rtelasto.pipeline.averaged_pairs import check_persistence_s
from rtelasto.pipeline.pair_policy import PairPolicy

if TYPE_CHECKING:
    from rtelasto.cpu.estimator import CpuEstimator
    from rtelasto.gpu.estimator import GpuEstimator


def check_stale_ms(stale_ms: float) -> None:
    """Raise RtelastoError for an age that no frame can have or that no operator would accept."""
    if not 1.0 <= stale_ms <= 60_000.0:
        raise RtelastoError(f"stale_ms must lie in 1…60000, got {stale_ms}")


@dataclass(frozen=True, kw_only=True)
class EstimateSettings:
    """How strain is estimated, live or offline.

    Parameters
    ----------
    engine
        cnn-lateral, cnn2, cnn, ncc, am, or the path of an ONNX file (rtelasto engines lists them).
    pair
        adaptive (the newest frame with the recent one whose strain is nearest to --target-strain),
        consecutive, or "lag N" (acquisitions).
    target_strain
        Applied strain that adaptive pairing aims for; 0.007 is 0.7 %.
    max_lag
        How many acquisitions adaptive pairing reaches back.
    max_lag_s
        How far adaptive pairing reaches back in time, in s.
    min_quality
        Adaptive pairing refuses pairs whose median post-warp correlation is lower.
    persistence_s
        Time constant of the average over time from which relative strain is computed, in s; 0 turns it off.
    threads
        Cores to use, for the network's runtime and for all other computing; by default all that are
        available to this process.
    cpu_runtime
        Runtime of a network on the CPU: onnxruntime, openvino (the same numbers), or openvino-bf16 (faster
        and less accurate, if the processor supports it); rtelasto doctor shows what this machine has.
    device
        auto, cpu, gpu, or the runtime of the network on a GPU: tensorrt, tensorrt_rtx, torch, onnxruntime,
        or torch_compile (PyTorch, faster, takes minutes to start).
    f_number
        F-number of the receive aperture, where channel data are beamformed here.
    apodization
        Window over that aperture: hann, hamming, boxcar, tukey.
    """

    engine: str = DEFAULT_ENGINE
    pair: str = "adaptive"
    target_strain: float = 0.007
    max_lag: int = 64
    max_lag_s: float = 0.5
    min_quality: float = 0.5
    persistence_s: float = 1.0
    threads: int | None = None
    cpu_runtime: str = "onnxruntime"
    device: str = "auto"
    f_number: float = 1.5
    apodization: str = "hann"

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.device not in DEVICES:
            raise RtelastoError(f"device must be one of {', '.join(DEVICES)}, got {self.device!r}")
        check_runtime(self.cpu_runtime)
        check_persistence_s(self.persistence_s)
        self.policy()
        self.beamform()

    def open_estimator(
        self, progress: Callable[[float, str], None] | None = None
    ) -> CpuEstimator | GpuEstimator:
        """Open the engine of these settings (`rtelasto.pipeline.devices.open_estimator`)."""
        # Here, because it loads numba, and commands read settings long before they compute.
        from rtelasto.pipeline.devices import open_estimator

        return open_estimator(
            self.engine,
            device=self.device,
            threads=self.threads,
            cpu_runtime=self.cpu_runtime,
            history=self.policy().history,
            progress=progress,
        )

    def beamform(self) -> BeamformSettings:
        """Return how channel data are beamformed with these settings."""
        return BeamformSettings(f_number=self.f_number, window=self.apodization)

    def policy(self) -> PairPolicy:
        """Return the pairing policy of these settings."""
        return PairPolicy.parse(
            self.pair,
            target_strain=self.target_strain,
            max_lag=self.max_lag,
            max_lag_s=self.max_lag_s,
            min_quality=self.min_quality,
        )


@dataclass(frozen=True, kw_only=True)
class RunSettings(EstimateSettings):
    """A live run: where RF frames come from and where strain goes to.

    Parameters
    ----------
    rf
        Endpoint where the sender of RF frames is bound.
    strain
        Endpoint to bind for viewers and recorders.
    keys
        Folder of keys (rtelasto keys): both streams are encrypted, and only machines whose key is in it
        may connect. Without it, both must be on this machine.
    bmode
        Publish the B-mode of the pre-compression frame with the strain (--view and --igtl imply it).
    view
        Serve the live viewer beside the run.
    view_host
        Where to serve it; a host that other machines can reach needs the token that is printed.
    view_port
        Port of the viewer; 0 takes a free one.
    igtl
        Port for OpenIGTLink clients such as 3D Slicer (18944 is usual).
    metrics
        Port to serve Prometheus metrics on, at /metrics on loopback.
    record
        Folder to record the RF and strain streams into.
    every
        Process every frame, however late, instead of dropping the oldest when behind.
    frames
        Stop after this many strain frames; by default only on SIGINT or SIGTERM.
    stale_ms
        A frame older than this since its acquisition is marked stale, and --view shows that it is not live.
    hang_s
        Replace the pipeline's process if it has made no progress for this long, in s.
    """

    rf: str = "tcp://127.0.0.1:5555"
    strain: str = "tcp://127.0.0.1:5556"
    keys: Path | None = None
    bmode: bool = False
    view: bool = False
    view_host: str = "127.0.0.1"
    view_port: int = 8765
    igtl: int | None = None
    metrics: int | None = None
    record: Path | None = None
    every: bool = False
    frames: int | None = None
    stale_ms: float = 250.0
    hang_s: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frames is not None and self.frames < 1:
            raise RtelastoError(f"frames must be at least 1, got {self.frames}")
        check_stale_ms(self.stale_ms)
        if not 0.1 <= self.hang_s <= 3600.0:
            raise RtelastoError(f"hang_s must lie in 0.1…3600 s, got {self.hang_s:g}")
        for name in ("view_port", "igtl", "metrics"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65535:
                raise RtelastoError(f"{name} must be a port, 0…65535, got {port}")

    @property
    def wants_bmode(self) -> bool:
        """Whether any requested output shows the B-mode."""
        return self.bmode or self.view or self.igtl is not None
