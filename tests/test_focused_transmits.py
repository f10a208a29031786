"""Focused transmits of the Verasonics functions in a real Octave: a walking aperture, a line a transmit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import octave
import pytest
from channel_echoes import echoes
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.cpu.beamform import Beamformer
from rtelasto.frames.channel import ChannelFormat, FocusedBeam
from rtelasto.transport.receivers import Receiver

pytestmark = pytest.mark.octave

FC_HZ, C, PITCH_M = 7.8125e6, 1540.0, 0.1979e-3
N_LINES, N_SAMPLES, FOCUS_M = 9, 640, 6e-3
FIRST = 32  # the middle 128 of 192 elements


def hand_worked() -> ChannelFormat:
    """What tests/octave/send_focused.m sends: an L12-5 38mm, nine lines 6 mm deep around the middle."""
    # Elements within 6 mm / (2 · F-number 2) = 1.5 mm of the line fire, seven on each side, outermost first.
    late_s = (np.hypot(7 * PITCH_M, FOCUS_M) - FOCUS_M) / C
    lines_m = PITCH_M * (FIRST + 59 + np.arange(N_LINES) - 95.5)
    return ChannelFormat(
        n_acquisitions=N_LINES,
        n_channels=128,
        n_samples=N_SAMPLES,
        sampling_freq_hz=4 * FC_HZ,
        center_freq_hz=FC_HZ,
        element_pitch_m=PITCH_M,
        n_elements=192,
        start_time_s=(2 * 2.0 - 1.5) / FC_HZ,  # from 2 wavelengths, there and back, less TW.peak
        sound_speed_m_s=C,
        transmits=tuple(FocusedBeam(line_m, late_s) for line_m in lines_m),
        first_elements=(FIRST,) * N_LINES,
    )


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return octave.build_bridge(tmp_path_factory.mktemp("focused"))


def test_focused_frames_from_octave_become_the_image_of_those_made_in_python(
    bridge: Path, tmp_path: Path
) -> None:
    channels = hand_worked()
    target_m = (channels.aims[5], 7.3e-3)
    data = np.rint(2000.0 * echoes(channels, [target_m])).astype(np.int16)
    # Acquisitions below each other in rows; element e on channel e mod 128 of the connector.
    buffer = np.zeros((N_LINES * N_SAMPLES, 128), np.int16)
    columns = np.mod(FIRST + np.arange(128), 128)
    buffer[:, columns] = data.transpose(0, 2, 1).reshape(-1, 128)
    (tmp_path / "buffer").write_bytes(buffer.tobytes(order="F"))
    endpoint = free_endpoint()
    with Receiver(endpoint, policy="every") as receiver:
        octave.run(bridge, f"send_focused('{endpoint}', '{tmp_path / 'buffer'}');")
        frame = receiver.get(WAIT_S)
    assert np.array_equal(frame.samples, data)
    assert not frame.format.plane
    assert frame.format.first_elements == channels.first_elements
    for name in ("sampling_freq_hz", "element_pitch_m", "start_time_s", "aims"):
        assert getattr(frame.format, name) == pytest.approx(getattr(channels, name), rel=1e-9)
    sent_s, made_s = (
        [beam.origin_time_s for beam in found.transmits] for found in (frame.format, channels)
    )
    assert sent_s == pytest.approx(made_s, abs=1e-12)

    beamformer = Beamformer(frame.format)
    image, expected = beamformer(frame.samples), Beamformer(channels)(data)
    np.testing.assert_allclose(image, expected, atol=1e-3 * np.abs(expected).max())
    line, sample = np.unravel_index(np.argmax(np.abs(image)), image.shape)
    assert line == 5
    wavelength_m = C / FC_HZ
    assert beamformer.format.grid.depth_m[sample] == pytest.approx(7.3e-3, abs=0.1 * wavelength_m)


def test_a_press_seen_by_a_walking_aperture_arrives_as_its_strain(bridge: Path) -> None:
    options = (
        "'focus_mm', 6, 'n_lines', 20, 'frame_rate_hz', 20, 'end_depth_mm', 10, 'width_mm', 8, "
        "'made_ahead', 2"
    )
    strains, _ = octave.strain_of(
        bridge, f"rtelasto_simulate(3, struct('endpoint', 'ENDPOINT', {options}));", 2
    )
    for strain, applied in zip(strains, (-0.005, 0.005), strict=True):
        assert strain.grid.n_lines == 20
        assert strain.grid.line_pitch_m == pytest.approx(PITCH_M)
        tissue = octave.tissue_of(strain)
        assert np.median(strain.correlation[tissue]) > 0.9
        assert np.median(strain.axial_strain[tissue]) == pytest.approx(applied, abs=6e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[S.TX.focus] = deal(-30);", "TX.focus -30 makes a diverging wave, which cannot be sent"),
        (
            "[S.TX.focus] = deal(300);",
            "TX.focus 300 lies deeper than Receive.endDepth 138: a wide beam, which cannot be sent",
        ),
        (
            "S.TX(2).Delay = S.TX(2).Delay + linspace(0, 9, 128) .* S.TX(2).Apod;",
            "TX.Delay is not that of a beam straight down to TX.focus: it misses that by",
        ),
        ("S.TX(2).focus = 0;", "must be all plane waves or all focused beams"),
        ("S.TX(2) = S.TX(4);", "TX.Origin must rise in even steps from transmit to transmit"),
        ("S.TX(2).Origin = [-60 0 0];", "TX.Origin lies beside the elements that fire"),
        ("S.TX(2).Apod = zeros(1, 128);", "of which two or more fire"),
        ("[S.TX.focus] = deal(0);", "TX.Delay is not that of a plane wave"),
    ],
)
def test_what_cannot_be_beamformed_is_refused_by_name(bridge: Path, change: str, said: str) -> None:
    output = octave.run(
        bridge,
        "T = rtelasto_probe('L12-5 38mm'); S = rtelasto_sequence(T, struct('focus_mm', 6, "
        f"'n_lines', 9, 'end_depth_mm', 10)); Receive = received(S.Receive, 640); {change} "
        "try, rtelasto_channel_meta(T, S.Resource, Receive, S.TX, S.TW, S.Event); "
        "catch problem, disp(problem.identifier), disp(problem.message), end",
    )
    identifier, message = output.splitlines()
    assert identifier == "rtelasto:meta:transmit"
    assert said in message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("'focus_mm', 50", "options.focus_mm 50 lies deeper than end_depth_mm 40: a wide beam"),
        ("'focus_mm', 6, 'n_lines', 200", "options.n_lines must lie in 2 to 128, got 200"),
        ("'focus_mm', 6, 'source', 'inter'", "options.focus_mm needs the source 'receive'"),
        ("'focus_mm', 6, 'n_lines', 128, 'frame_rate_hz', 200", "128 transmits of"),
    ],
)
def test_a_walking_aperture_that_cannot_be_is_refused(
    bridge: Path, options: str, said: str
) -> None:
    output = octave.run(
        bridge,
        "T = rtelasto_probe('L12-5 38mm'); "
        f"try, rtelasto_sequence(T, struct({options})); catch problem, disp(problem.message), end",
    )
    assert said in output
    assert len(output.splitlines()) == 1
