"""Recordings as scanners write them: Verasonics workspaces and UFF, read as RF lines."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
from channel_echoes import echoes, pressed_tissue
from verasonics_file import write_workspace

from rtelasto.cpu.beamform import Beamformer
from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, FocusedBeam, PlaneWave
from rtelasto.sources import open_recording

FREQUENCY_MHZ, C = 6.25, 1540.0
PERIOD_S = 1e-6 / FREQUENCY_MHZ
WAVELENGTH_M = C * PERIOD_S
PITCH_M = 0.25e-3
N_ELEMENTS, N_CHANNELS, N_SAMPLES = 48, 32, 640
APERTURE = 9  # elements 9 to 40, counted from 1
FIRST = APERTURE - 1
# Which channel each element is on: the multiplexer repeats every 32 elements.
CHANNEL = np.arange(N_ELEMENTS) % N_CHANNELS + 1
ANGLES = (-0.06, 0.06)
START_DEPTH, PEAK, LENS = 20.0, 1.25, 0.5
STRAINS = [0.0, -0.005, -0.01, -0.015]


def wave(angle: float) -> PlaneWave:
    """The wave whose first of the 32 elements fires at time 0."""
    x_m = PITCH_M * (FIRST + np.arange(N_CHANNELS) - 0.5 * (N_ELEMENTS - 1))
    return PlaneWave(angle, -float((x_m * np.sin(angle)).min()) / C)


def channel_format(sampling: str = "uniform", per_period: float = 4.0) -> ChannelFormat:
    return ChannelFormat(
        n_acquisitions=2,
        n_channels=N_CHANNELS,
        n_samples=N_SAMPLES,
        sampling_freq_hz=per_period / PERIOD_S,
        center_freq_hz=1 / PERIOD_S,
        element_pitch_m=PITCH_M,
        n_elements=N_ELEMENTS,
        start_time_s=(2 * START_DEPTH - PEAK - 2 * LENS) * PERIOD_S,
        sound_speed_m_s=C,
        transmits=tuple(wave(angle) for angle in ANGLES),
        first_elements=(FIRST, FIRST),
        sampling=sampling,
    )


def receive_buffer(frames: list[np.ndarray]) -> np.ndarray:
    """[rows, columns, frames] as a scanner holds them: acquisitions in rows, elements on channels."""
    buffer = np.zeros((2 * N_SAMPLES + 128, N_CHANNELS, len(frames)), np.int16)
    columns = CHANNEL[FIRST : FIRST + N_CHANNELS] - 1
    for k, frame in enumerate(frames):
        for a in range(2):
            buffer[a * N_SAMPLES : (a + 1) * N_SAMPLES, columns, k] = frame[a].T
    return buffer


def workspace(buffer: np.ndarray, newest: int, mode: str = "NS200BW") -> dict[str, Any]:
    """What VSX leaves in the workspace; ``newest`` is the frame it filled last, from 1."""
    n_frames = buffer.shape[2]
    per_wave = {"NS200BW": 4.0, "BS100BW": 2.0}[mode]
    decimation = {"NS200BW": 1.0, "BS100BW": 2.0}[mode]
    apertures = np.zeros((N_ELEMENTS, N_ELEMENTS - N_CHANNELS + 1))
    for i in range(apertures.shape[1]):
        apertures[i : i + N_CHANNELS, i] = CHANNEL[i : i + N_CHANNELS]
    x_wl = PITCH_M / WAVELENGTH_M * np.arange(N_CHANNELS)
    transmits = []
    for angle in ANGLES:
        delay = x_wl * np.sin(angle)
        transmits.append(
            {
                "aperture": APERTURE,
                "focus": 0,
                "Origin": [0, 0, 0],
                "Apod": np.ones(N_CHANNELS),
                "Delay": delay - delay.min(),
            }
        )
    receive = [
        {
            "framenum": frame + 1,
            "bufnum": 1,
            "acqNum": acquisition + 1,
            "mode": 0,
            "aperture": APERTURE,
            "startDepth": START_DEPTH,
            "endDepth": 200.0,
            "sampleMode": mode,
            "demodFrequency": FREQUENCY_MHZ,
            "decimSampleRate": per_wave * decimation * FREQUENCY_MHZ,
            "quadDecim": decimation,
            "startSample": 1 + acquisition * N_SAMPLES,
            "endSample": (acquisition + 1) * N_SAMPLES,
        }
        for frame in range(n_frames)
        for acquisition in range(2)
    ]
    events = [{"info": "start", "tx": 0, "rcv": 0}] + [
        {"info": "x", "tx": 1 + i % 2, "rcv": i + 1} for i in range(len(receive))
    ]
    return {
        "Trans": {
            "name": "L12-5",
            "units": "wavelengths",
            "frequency": FREQUENCY_MHZ,
            "numelements": N_ELEMENTS,
            "spacingMm": 1e3 * PITCH_M,
            "lensCorrection": LENS,
            "ConnectorES": CHANNEL[:, None],
            "HVMux": {"ApertureES": apertures},
        },
        "Resource": {
            "Parameters": {"speedOfSound": C},
            "RcvBuffer": {
                "rowsPerFrame": buffer.shape[0],
                "colsPerFrame": buffer.shape[1],
                "numFrames": n_frames,
                "lastFrame": newest,
            },
        },
        "Receive": receive,
        "TX": transmits,
        "TW": {"peak": PEAK},
        "Event": events,
        "RcvData": (buffer,),
    }


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    return pressed_tissue(channel_format(), STRAINS)


def ring(frames: list[np.ndarray]) -> np.ndarray:
    """The four frames in a ring in which the second slot was filled last: 3, 4, 1, 2."""
    return receive_buffer([frames[2], frames[3], frames[0], frames[1]])


@pytest.mark.slow
def test_a_workspace_is_read_as_rf_lines_oldest_frame_first(
    tmp_path: Path, frames: list[np.ndarray]
) -> None:
    path = tmp_path / "press.mat"
    write_workspace(path, workspace(ring(frames), newest=2))
    beamformer = Beamformer(channel_format())
    with open_recording(path) as recording:
        assert recording.n_frames == 4
        assert recording.format.n_lines == N_CHANNELS
        for i in range(4):
            expected = beamformer(frames[i])
            np.testing.assert_allclose(
                recording.read(i), expected, atol=1e-3 * np.abs(expected).max()
            )
        assert any("beamformed" in note for note in recording.notes)


@pytest.mark.slow
def test_pairs_of_samples_are_taken_for_what_they_are(tmp_path: Path) -> None:
    channels = channel_format("quadrature", 2.0)
    frames = pressed_tissue(channels, [0.0, -0.005])
    path = tmp_path / "pairs.mat"
    write_workspace(path, workspace(receive_buffer(frames), newest=2, mode="BS100BW"))
    expected = Beamformer(channels)(frames[1])
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.read(1), expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.slow
def test_the_samples_may_stand_in_a_bin_beside_it(tmp_path: Path, frames: list[np.ndarray]) -> None:
    buffer = ring(frames)
    variables = workspace(buffer, newest=2)
    del variables["RcvData"]
    write_workspace(tmp_path / "press.mat", variables)
    with pytest.raises(RtelastoError, match=r"no press.bin beside it"):
        open_recording(tmp_path / "press.mat")
    (tmp_path / "press.bin").write_bytes(buffer.tobytes(order="F"))
    with open_recording(tmp_path / "press.mat") as recording:
        expected = Beamformer(channel_format())(frames[0])
        np.testing.assert_allclose(recording.read(0), expected, atol=1e-3 * np.abs(expected).max())
    (tmp_path / "press.bin").write_bytes(b"short")
    with pytest.raises(RtelastoError, match="5 bytes, Resource"):
        open_recording(tmp_path / "press.mat")


def test_focused_beams_become_their_lines(tmp_path: Path) -> None:
    # Two beams, straight down from two elements; 16 elements fire, focused 40 wavelengths deep.
    lines = [23.5, 24.5]
    x = np.arange(N_ELEMENTS) - 0.5 * (N_ELEMENTS - 1)
    variables = workspace(np.zeros((2 * N_SAMPLES, N_CHANNELS, 1), np.int16), newest=1)
    beams = []
    for transmit, line in zip(variables["TX"], lines, strict=True):
        x_line = PITCH_M * (line - 0.5 * (N_ELEMENTS - 1))
        x_m = PITCH_M * x[FIRST : FIRST + N_CHANNELS] - x_line
        fires = np.abs(x_m) < 8.1 * PITCH_M
        delay_m = -np.hypot(x_m, 40 * WAVELENGTH_M)
        delay = np.where(fires, delay_m - delay_m[fires].min(), 0.0) / WAVELENGTH_M
        transmit |= {"focus": 40, "Origin": [x_line / WAVELENGTH_M, 0, 0], "Apod": 1.0 * fires}
        transmit["Delay"] = delay
        # Between two elements the delays' interpolation is this close to their arc.
        arc_m = -40 * WAVELENGTH_M - delay_m[fires].min()
        beams.append(FocusedBeam(x_line, arc_m / C))
    base = channel_format()
    channels = ChannelFormat(
        **{name: getattr(base, name) for name in ChannelFormat.__dataclass_fields__}
        | {"transmits": tuple(beams)}
    )
    target = [(beams[1].line_x_m, 50 * WAVELENGTH_M)]
    data = np.rint(1000 * echoes(channels, target)).astype(np.int16)
    variables["RcvData"] = (receive_buffer([data])[: 2 * N_SAMPLES],)
    write_workspace(tmp_path / "beams.mat", variables)
    with open_recording(tmp_path / "beams.mat") as recording:
        assert recording.format.n_lines == 2
        assert recording.format.line_pitch_m == pytest.approx(PITCH_M)
        peak = np.argmax(np.abs(recording.read(0)[1]))
        depth_m = recording.format.grid.depth_m[peak]
        assert depth_m == pytest.approx(50 * WAVELENGTH_M, abs=0.1 * WAVELENGTH_M)


@pytest.mark.slow
def test_a_workspace_is_processed_and_replayed_like_any_recording(
    tmp_path: Path, frames: list[np.ndarray]
) -> None:
    path = tmp_path / "press.mat"
    write_workspace(path, workspace(ring(frames), newest=2))
    done = processes.finish(
        "process", str(path), "-o", str(tmp_path / "strain.h5"), "--engine", "ncc"
    )
    assert done.returncode == 0, done.stderr
    rows = processes.table(done.stdout)
    assert rows["strain frames"] == "3"
    sent = processes.finish(
        "replay", str(path), "--rf", "tcp://127.0.0.1:0", "--fps", "50", "--wait-s", "0"
    )
    assert sent.returncode == 0, sent.stderr
    assert processes.table(sent.stdout)["frames sent"] == "4"


def change(*path: Any, value: Any = ...) -> Any:
    """A change of a workspace: set what lies at ``path``, or delete it."""

    def apply(variables: dict[str, Any]) -> None:
        place: Any = variables
        for key in path[:-1]:
            place = place[key]
        if value is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return apply


def for_all_receives(name: str, value: Any) -> Any:
    def apply(variables: dict[str, Any]) -> None:
        for receive in variables["Receive"]:
            receive[name] = value

    return apply


@pytest.mark.slow
@pytest.mark.parametrize(
    ("apply", "said"),
    [
        (change("TX"), "holds no struct TX"),
        (change("Trans", "frequency"), "does not say Trans.frequency"),
        (for_all_receives("startSample", np.zeros((0, 0))), "does not say Receive.startSample"),
        (for_all_receives("framenum", 2), "no acquisition of frame 1"),
        (change("Receive", 0, "endSample", value=100), "must have the same length"),
        (for_all_receives("endSample", 5000), "Receive and Trans need|same length"),
        (change("TX", 0, "Delay", value=np.arange(N_CHANNELS) ** 2.0), "plane wave"),
        (change("TX", 0, "Apod", value=np.zeros(N_CHANNELS)), "fires no element"),
        (change("TX", 0, "focus", value=-30), "TX.focus -30 makes a diverging wave: only plane"),
        (
            change("TX", 0, "focus", value=900),
            "TX.focus 900 makes a wide beam, focused below endDepth 200: only plane",
        ),
        (change("RcvData", value=(np.zeros((4, 4)),)), "RcvData must hold int16"),
        (
            change("Trans", "HVMux", "ApertureES", value=np.eye(N_ELEMENTS)[:, ::-1] * 0.0),
            "side by side",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_by_name(
    tmp_path: Path, frames: list[np.ndarray], apply: Any, said: str
) -> None:
    variables = copy.deepcopy(workspace(ring(frames), newest=2))
    apply(variables)
    write_workspace(tmp_path / "bad.mat", variables)
    with pytest.raises(RtelastoError, match=said) as caught:
        open_recording(tmp_path / "bad.mat")
    assert str(caught.value).startswith(str(tmp_path / "bad.mat"))


def test_what_follows_from_beamforming_cannot_be_overridden(
    tmp_path: Path, frames: list[np.ndarray]
) -> None:
    path = tmp_path / "press.mat"
    write_workspace(path, workspace(ring(frames), newest=2))
    with pytest.raises(RtelastoError, match="line_pitch_m comes from the file"):
        open_recording(path, line_pitch_m=3e-4)
    with pytest.raises(RtelastoError, match="cannot be"):
        open_recording(path, center_freq_hz="estimate")
    with open_recording(path, sound_speed_m_s=1500.0) as recording:
        assert recording.format.sound_speed_m_s == 1500.0


def test_uff_channel_data_are_read_as_rf_lines(tmp_path: Path) -> None:
    pyuff = pytest.importorskip("pyuff_ustb", reason="pip install 'rtelasto[uff]'")
    waves = (PlaneWave(-0.05, 1e-6), PlaneWave(0.05, 2e-6))
    channels = ChannelFormat(
        n_acquisitions=2,
        n_channels=32,
        n_samples=600,
        sampling_freq_hz=4 / PERIOD_S,
        center_freq_hz=1 / PERIOD_S,
        element_pitch_m=PITCH_M,
        start_time_s=6e-6,
        transmits=waves,
    )
    frames = pressed_tissue(channels, [0.0, -0.004, -0.008])
    geometry = np.zeros((7, 32))
    geometry[0] = channels.element_x_m
    sequence = [
        pyuff.Wave(
            wavefront=pyuff.Wavefront.plane,
            source=pyuff.Point(azimuth=w.angle_rad, elevation=0.0, distance=np.inf),
            origin=pyuff.Point(azimuth=0.0, elevation=0.0, distance=0.0),
            apodization=pyuff.Apodization(),
            delay=-w.origin_time_s,
        )
        for w in waves
    ]
    data = np.stack([frame.astype(np.float32) for frame in frames])  # frame, wave, channel, sample
    pyuff.ChannelData(
        sampling_frequency=channels.sampling_freq_hz,
        initial_time=channels.start_time_s,
        sound_speed=C,
        modulation_frequency=0.0,
        sequence=sequence,
        probe=pyuff.Probe(geometry=geometry, origin=pyuff.Point()),
        pulse=pyuff.Pulse(center_frequency=channels.center_freq_hz),
        PRF=1000.0,
        data=data.transpose(3, 2, 1, 0),
    ).write(str(tmp_path / "press.uff"), "channel_data", ignore_missing_compulsory_fields=True)
    expected = Beamformer(channels)(frames[2])
    with open_recording(tmp_path / "press.uff") as recording:
        assert recording.n_frames == 3
        assert recording.timestamps_ns.tolist() == [0, 2_000_000, 4_000_000]
        np.testing.assert_allclose(recording.read(2), expected, atol=1e-3 * np.abs(expected).max())
    with pytest.raises(RtelastoError, match="omit --axes"):
        open_recording(tmp_path / "press.uff", axes="frame,line,sample")
