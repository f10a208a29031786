"""IQ and channel data become RF lines, alone and on the way through a live run."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest
from channel_echoes import pressed_tissue, pulse
from scipy.signal import hilbert
from speckle import speckle_pair
from waiting import WAIT_S

from rtelasto import estimate
from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings
from rtelasto.cpu.beamforming.remodulate import Remodulator
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, ChannelFrame, PlaneWave
from rtelasto.frames.iq import IqFormat, IqFrame, ScannerFormat
from rtelasto.frames.rf import RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation
from rtelasto.live.run import LiveReport, LiveRun
from rtelasto.pipeline.to_rf_lines import RfLines
from rtelasto.settings import RunSettings
from rtelasto.telemetry.counters import Counters
from rtelasto.transport.rf_sender import RfSender

FC, C = 6.25e6, 1540.0
WAVELENGTH_M = C / FC
CHANNELS = ChannelFormat(
    n_acquisitions=3,
    n_channels=48,
    n_samples=900,
    sampling_freq_hz=4 * FC,
    center_freq_hz=FC,
    element_pitch_m=0.25e-3,
    start_time_s=6e-6,
    transmits=(PlaneWave(-0.07), PlaneWave(), PlaneWave(0.07)),
)


def iq_format(
    pixel_m: float, n_samples: int, carrier: str = "removed", offset: float = 1.0
) -> IqFormat:
    return IqFormat(
        n_lines=2,
        n_samples=n_samples,
        sampling_freq_hz=C / (2 * pixel_m),
        demodulation_freq_hz=offset * FC,
        center_freq_hz=FC,
        line_pitch_m=2e-4,
        start_depth_m=4.1e-3,
        carrier=carrier,
    )


@pytest.mark.parametrize("carrier", ["removed", "kept"])
@pytest.mark.parametrize("wavelengths", [0.5, 0.4, 0.27, 0.125])
@pytest.mark.parametrize("offset", [1.0, 1.05])
def test_iq_pixels_become_the_rf_that_they_came_from(
    carrier: str, wavelengths: float, offset: float
) -> None:
    pixels = iq_format(wavelengths * WAVELENGTH_M, round(100 / wavelengths), carrier, offset)
    remodulator = Remodulator(pixels, samples_per_wavelength=5.0)
    pixel_m = C / (2 * pixels.sampling_freq_hz)
    z_m = pixels.start_depth_m + pixel_m * np.arange(pixels.n_samples)
    echo_m = np.array([[9.03e-3], [17.77e-3]])

    def envelope(z: np.ndarray) -> np.ndarray:
        return np.abs(pulse(2.0 * (z - echo_m) / C, 1e-9 * FC)) * np.exp(
            -0.5 * (2.0 * (z - echo_m) / WAVELENGTH_M / 3.0) ** 2
        )

    phase = 4.0 * np.pi * FC / C * (z_m - echo_m)
    analytic = envelope(z_m) * np.exp(1j * phase)
    demodulated = analytic * np.exp(-4j * np.pi * offset * FC / C * z_m)
    lines = remodulator((analytic if carrier == "kept" else demodulated).astype(np.complex64))
    depth_m = remodulator.format.grid.depth_m
    truth = envelope(depth_m) * np.cos(4.0 * np.pi * FC / C * (depth_m - echo_m))
    assert lines.shape == truth.shape
    assert depth_m[-1] <= z_m[-1]
    assert np.abs(lines - truth).max() < 0.02


def test_strain_of_remodulated_iq_is_that_of_the_rf() -> None:
    rf_format = RfFormat(
        n_lines=48,
        n_samples=1800,
        sampling_freq_hz=40e6,
        center_freq_hz=FC,
        line_pitch_m=3e-4,
        start_depth_m=2e-3,
    )
    pair = speckle_pair(
        np.random.default_rng(5), rf_format=rf_format, elongation=Elongation(axial_slope=-0.006)
    )
    grid = rf_format.grid
    carrier = np.exp(-4j * np.pi * FC / C * grid.depth_m)
    every = 2  # 20 MHz: 3.2 pixels per wavelength
    pixels = IqFormat(
        n_lines=48,
        n_samples=900,
        sampling_freq_hz=20e6,
        demodulation_freq_hz=FC,
        center_freq_hz=FC,
        line_pitch_m=3e-4,
        start_depth_m=2e-3,
    )
    remodulator = Remodulator(pixels)
    rf = [
        remodulator((hilbert(f.samples.astype(float), axis=1) * carrier)[:, ::every])
        for f in (pair.pre, pair.post)
    ]
    again = estimate(*rf, remodulator.format, engine="ncc")
    assert again.applied_strain == pytest.approx(-0.006, abs=2e-4)
    assert again.quality > 0.95


def test_pixels_that_are_not_finite_count_as_silence() -> None:
    remodulator = Remodulator(iq_format(0.5 * WAVELENGTH_M, 64))
    samples = np.zeros((2, 64), np.complex64)
    samples[0, 3], samples[1, 5] = complex(np.nan, 1.0), complex(0.0, np.inf)
    assert np.abs(remodulator(samples)).max() <= 1.0
    with pytest.raises(RtelastoError, match="samples has shape"):
        remodulator(samples[:, :-1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_lines": 0}, "n_lines"),
        ({"demodulation_freq_hz": float("nan")}, "demodulation_freq_hz"),
        ({"sampling_freq_hz": 1e6}, "two wavelengths"),
        ({"carrier": "lost"}, "carrier"),
    ],
)
def test_iq_that_is_not_possible_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    good = iq_format(0.5 * WAVELENGTH_M, 64)
    values = {name: getattr(good, name) for name in IqFormat.__dataclass_fields__} | changes
    with pytest.raises(RtelastoError, match=said):
        IqFormat(**values)


def test_iq_frames_hold_complex_pixels_of_their_format() -> None:
    good = iq_format(0.5 * WAVELENGTH_M, 64)
    with pytest.raises(RtelastoError, match="complex"):
        IqFrame(np.zeros((2, 64)), good)
    with pytest.raises(RtelastoError, match="shape"):
        IqFrame(np.zeros((64, 2), complex), good)
    with pytest.raises(RtelastoError, match="shallower"):
        Remodulator(iq_format(0.5 * WAVELENGTH_M, 60000))


def test_the_stage_passes_rf_lines_converts_the_rest_and_counts_what_it_cannot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counters = Counters()
    stage = RfLines(BeamformSettings(f_number=2.0), counters)
    rf = RfFrame(
        np.ones((2, 3), np.int16),
        RfFormat(
            n_lines=2, n_samples=3, sampling_freq_hz=40e6, center_freq_hz=FC, line_pitch_m=3e-4
        ),
        FrameStamp(7),
    )
    assert stage(rf) is rf
    assert stage.spent_ns == 0
    channel = ChannelFrame(
        np.ones(CHANNELS.shape, np.int16), CHANNELS, FrameStamp(8, 9, stream="s", received_ns=10)
    )
    lines = stage(channel)
    assert lines is not None
    assert (lines.frame_id, lines.acquired_ns, lines.received_ns, lines.stream) == (8, 9, 10, "s")
    assert lines.format.n_lines == 48
    assert stage.spent_ns > 0
    # All of it before the wave has left: there is no depth to show.
    early = ChannelFormat(
        n_acquisitions=1,
        n_channels=4,
        n_samples=8,
        sampling_freq_hz=4 * FC,
        center_freq_hz=FC,
        element_pitch_m=0.25e-3,
        start_time_s=-1e-3,
    )
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert stage(ChannelFrame(np.ones(early.shape, np.int16), early)) is None
    assert counters["rf_lines.refused"] == 3
    assert len(caplog.records) == 1
    assert stage(channel) is not None


def run_live(frames: list[np.ndarray], scanner_format: ScannerFormat) -> LiveReport:
    """Send frames to a live run over a real socket; its report once all are in."""
    stop = threading.Event()
    strains: list[float] = []
    reports: list[LiveReport] = []
    with (
        RfSender("tcp://127.0.0.1:0") as sender,
        LiveRun(
            RunSettings(rf=sender.endpoint, strain="tcp://127.0.0.1:0", engine="ncc", every=True),
            on_strain=lambda strain: strains.append(strain.applied_strain),
        ) as live,
    ):
        thread = threading.Thread(target=lambda: reports.append(live.run(stop)))
        thread.start()
        assert sender.wait_for_subscriber(WAIT_S)
        for samples in frames:
            sender.send(samples, scanner_format)
        assert live.counters.wait_for("strain.out", len(frames) - 1, WAIT_S)
        stop.set()
        thread.join(WAIT_S)
    assert np.diff(np.r_[0.0, np.cumsum(strains)]) == pytest.approx(-0.005, abs=6e-4)
    return reports[0]


@pytest.mark.slow
def test_channel_data_over_the_wire_become_strain() -> None:
    frames = pressed_tissue(CHANNELS, [0.0, -0.005, -0.01])
    counts = run_live(frames, CHANNELS).counters
    assert counts["received"] == 3
    assert counts["strain.out"] == 2


@pytest.mark.slow
def test_iq_over_the_wire_becomes_strain() -> None:
    stage = RfLines()
    lines = [
        stage(ChannelFrame(data, CHANNELS)) for data in pressed_tissue(CHANNELS, [0.0, -0.005])
    ]
    rf_format = lines[0].format
    carrier = np.exp(-4j * np.pi * FC / C * rf_format.grid.depth_m)
    # Every other of four samples a wavelength: pixels half a wavelength apart, as a Vantage has them.
    iq = [
        (hilbert(frame.samples, axis=1) * carrier)[:, ::2].astype(np.complex64) for frame in lines
    ]
    pixels = IqFormat(
        n_lines=rf_format.n_lines,
        n_samples=iq[0].shape[1],
        sampling_freq_hz=2 * FC,
        demodulation_freq_hz=FC,
        center_freq_hz=FC,
        line_pitch_m=rf_format.line_pitch_m,
        start_depth_m=rf_format.start_depth_m,
    )
    assert run_live(iq, pixels).counters["received"] == 2
