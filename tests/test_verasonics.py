"""The Verasonics functions in a real Octave, with the scanner played by rtelasto_simulate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import octave
import pytest
from waiting import WAIT_S

from rtelasto.bench.rig import free_endpoint
from rtelasto.transport.receivers import Receiver

pytestmark = pytest.mark.octave

SHALLOW = "'end_depth_mm', 10, 'width_mm', 8, 'n_targets', 4000"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return octave.build_bridge(tmp_path_factory.mktemp("verasonics"))


@pytest.mark.parametrize(
    "options",
    [
        "'source', 'receive'",
        "'source', 'inter'",
        "'sample_mode', 'BS100BW', 'n_angles', 2",
        "'sample_mode', 'BS67BW', 'n_angles', 1, 'probe', 'L12-5 50mm'",
    ],
)
def test_a_simulated_press_arrives_as_the_strain_that_was_applied(
    bridge: Path, options: str
) -> None:
    strains, output = octave.strain_of(
        bridge,
        f"s = rtelasto_simulate(3, struct('endpoint', 'ENDPOINT', {SHALLOW}, {options})); "
        "printf('%d %d %d %d\\n', s.sent, s.unheard, s.overflow, s.failed);",
        2,
    )
    assert output.splitlines()[-1].split() == ["3", "0", "0", "0"]
    assert [strain.frame_ids for strain in strains] == [(0, 1), (1, 2)]
    for strain in strains:
        assert strain.grid.n_lines == 128
        tissue = octave.tissue_of(strain)
        assert np.median(strain.correlation[tissue]) > 0.9
        assert np.median(strain.axial_strain[tissue]) == pytest.approx(-0.005, abs=5e-4)


def test_the_format_comes_from_what_the_scanner_says(bridge: Path) -> None:
    """A receive buffer as a Vantage with an L12-5 38 mm fills it, every value worked out by hand."""
    endpoint = free_endpoint()
    with Receiver(endpoint, policy="every") as receiver:
        octave.run(bridge, f"send_hand_worked('{endpoint}');")
        frame = receiver.get(WAIT_S)
    channels = frame.format
    assert (channels.n_acquisitions, channels.n_channels, channels.n_samples) == (2, 128, 128)
    assert channels.sampling == "quadrature"
    assert channels.sampling_freq_hz == 15.625e6
    assert channels.center_freq_hz == 7.8125e6
    assert channels.element_pitch_m == pytest.approx(0.1979e-3)
    assert channels.n_elements == 192
    assert channels.first_elements == (32, 32)
    # Start depth 2 wavelengths there and back, less peak 1.5 and the lens twice: 4 - 1.5 - 6 periods.
    assert channels.start_time_s == pytest.approx(-3.5 / 7.8125e6)
    assert np.degrees([wave.angle_rad for wave in channels.transmits]) == pytest.approx([-5, 5])
    # The wave starts at one end of the 128 elements and passes the middle half their width later.
    late_s = 63.5 * 0.1979e-3 / 1500 * np.sin(np.radians(5))
    assert [w.origin_time_s for w in channels.transmits] == pytest.approx([late_s] * 2)
    # Element 32 + k sits on channel (32 + k) mod 128 of the connector: the columns, in element order.
    np.testing.assert_array_equal(frame.samples[0, :, 0], np.mod(32 + np.arange(128), 128) + 1)
    np.testing.assert_array_equal(frame.samples[1], frame.samples[0] + 1000)


def test_every_frame_has_its_own_transfer_waited_for_and_marked(bridge: Path) -> None:
    output = octave.run(
        bridge,
        "for source = {'receive', 'inter'}, "
        "S = rtelasto_sequence(rtelasto_probe('L12-5 50mm'), struct('source', source{1})); "
        "for k = 1:numel(S.Event), e = S.Event(k); printf('%s %d %d %d %d', source{1}, e.tx, e.rcv, "
        "e.recon, e.process); for c = e.seqControl(e.seqControl > 0), "
        "printf(' %s:%d', S.SeqControl(c).command, [S.SeqControl(c).argument, 0](1)); end, "
        "printf('\\n'); end, "
        "for k = 1:numel(S.Process), p = S.Process(k).Parameters; "
        "printf('process %s %d\\n', S.Process(k).method, p{find(strcmp(p, 'srcframenum')) + 1}); end, "
        "end",
    )
    lines = output.splitlines()
    for source in ("receive", "inter"):
        events = [line for line in lines if line.startswith(source)]
        waits = [line for line in events if "waitForTransferComplete" in line]
        marks = [line for line in events if "markTransferProcessed" in line]
        assert len(waits) == len(marks) == 4
        waited = [line.split("waitForTransferComplete:")[1] for line in waits]
        marked = [line.split("markTransferProcessed:")[1].split()[0] for line in marks]
        assert waited == marked
        assert len(set(waited)) == 4
        # Processing comes with the mark, after the wait; three receives before, each once.
        assert [line.split()[4] for line in marks] == ["1", "2", "3", "4"]
        received = [line.split()[2] for line in events if line.split()[2] != "0"]
        assert received == [str(i) for i in range(1, 13)]
        assert events[-1].endswith("jump:1")
    assert [line for line in lines if line.startswith("process rtelasto_receive")] == [
        f"process rtelasto_receive {i}" for i in range(1, 5)
    ]


@pytest.mark.parametrize(
    ("code", "identifier"),
    [
        ("rtelasto_probe('L7-4')", "rtelasto:probe"),
        ("rtelasto_sequence(T, struct('depth', 3))", "rtelasto:sequence:options"),
        ("rtelasto_sequence(T, struct('source', 'image'))", "rtelasto:sequence:options"),
        ("rtelasto_sequence(T, struct('n_frames', 1))", "rtelasto:sequence:options"),
        (
            "rtelasto_sequence(T, struct('n_angles', 99, 'frame_rate_hz', 500))",
            "rtelasto:sequence:rate",
        ),
        (
            "rtelasto_channel_meta(T, S.Resource, S.Receive, S.TX, S.TW, S.Event)",
            "rtelasto:meta:receive",
        ),
        (
            "rtelasto_channel_meta(T, S.Resource, S.Receive, S.TX, S.TW, S.Event, 2)",
            "rtelasto:meta:event",
        ),
    ],
)
def test_what_cannot_be_is_an_error_with_an_identifier(
    bridge: Path, code: str, identifier: str
) -> None:
    output = octave.run(
        bridge,
        "T = rtelasto_probe('L12-5 38mm'); S = rtelasto_sequence(T); "
        f"try, {code}; catch problem, disp(problem.identifier); end",
    )
    assert output == identifier


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("'focus_mm', -10", "options.focus_mm must be a depth, or 0 for plane waves, got -10"),
        ("'focus_mm', NaN", "options.focus_mm must be a depth, or 0 for plane waves, got NaN"),
        ("'focus_mm', 20, 'f_number', -1", "options.f_number must be above 0, got -1"),
        ("'focus_mm', 20, 'f_number', 0", "options.f_number must be above 0, got 0"),
    ],
)
def test_a_beam_that_cannot_be_names_the_option_and_its_value(
    bridge: Path, options: str, said: str
) -> None:
    output = octave.run(
        bridge,
        f"T = rtelasto_probe('L12-5 38mm'); try, rtelasto_sequence(T, struct({options})); "
        "catch problem, disp(problem.message); end",
    )
    assert output == said
