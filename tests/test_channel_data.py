"""What channel data may say of themselves, and what a transmit's delays mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import ChannelFormat, ChannelFrame, FocusedBeam, PlaneWave

FC = 7.8125e6
PLAIN: dict[str, Any] = {
    "n_acquisitions": 1,
    "n_channels": 128,
    "n_samples": 2048,
    "sampling_freq_hz": 4 * FC,
    "center_freq_hz": FC,
    "element_pitch_m": 0.1979e-3,
}


def test_elements_lie_about_the_middle_and_channels_start_where_the_multiplexer_says() -> None:
    channels = ChannelFormat(
        **PLAIN | {"n_acquisitions": 2, "n_elements": 192, "first_elements": (0, 64)}
    )
    x_m = channels.element_x_m
    assert x_m.size == 192
    assert x_m[0] == pytest.approx(-x_m[-1])
    assert channels.channel_x_m(1)[0] == x_m[64]
    assert channels.channel_x_m(1)[-1] == x_m[-1]


@pytest.mark.parametrize(
    ("sampling", "rate", "half_band"),
    [
        ("uniform", 4.0, 1.0),  # NS200BW: up to twice the centre frequency
        ("uniform", 4 / 3, 1 / 3),  # BS67BW
        ("quadrature", 2.0, 0.5),  # BS100BW
        ("quadrature", 1.0, 0.25),  # BS50BW
    ],
)
def test_the_band_is_what_the_scanner_calls_it(
    sampling: str, rate: float, half_band: float
) -> None:
    channels = ChannelFormat(**PLAIN | {"sampling_freq_hz": rate * FC, "sampling": sampling})
    assert channels.half_band_hz == pytest.approx(half_band * FC)


@pytest.mark.parametrize("angle_deg", [-12.0, 0.0, 7.5])
def test_delays_of_a_plane_wave_give_its_angle_and_when_it_passes_the_middle(
    angle_deg: float,
) -> None:
    channels = ChannelFormat(**PLAIN)
    delays_s = channels.element_x_m * math.sin(math.radians(angle_deg)) / 1540.0
    delays_s -= delays_s.min()  # a scanner counts from the first element that fires
    wave = PlaneWave.from_delays(
        np.round(delays_s / 4e-9) * 4e-9, channels.element_x_m, sound_speed_m_s=1540.0
    )
    assert math.degrees(wave.angle_rad) == pytest.approx(angle_deg, abs=0.01)
    assert wave.origin_time_s == pytest.approx(np.median(delays_s), abs=3e-9)


def test_delays_of_a_focused_beam_are_no_plane_wave() -> None:
    x_m = ChannelFormat(**PLAIN).element_x_m
    with pytest.raises(RtelastoError, match="miss a straight line by"):
        PlaneWave.from_delays(-np.hypot(x_m, 0.02) / 1540.0, x_m, sound_speed_m_s=1540.0)
    with pytest.raises(RtelastoError, match="one delay for each"):
        PlaneWave.from_delays(x_m[1:], x_m, sound_speed_m_s=1540.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n_acquisitions": 0}, "n_acquisitions"),
        ({"n_samples": 65537}, "n_samples"),
        ({"sampling_freq_hz": math.nan}, "sampling_freq_hz"),
        ({"element_pitch_m": 0.0}, "element_pitch_m"),
        ({"start_time_s": 1.0}, "start_time_s"),
        ({"sampling": "iq"}, "sampling must be one of"),
        ({"sampling_freq_hz": 2 * FC}, "onto itself"),
        ({"n_elements": 64}, "n_elements"),
        ({"n_elements": 192, "first_elements": (65,)}, "first_elements must lie in 0…64"),
        ({"first_elements": (0, 0)}, "one entry for each of the 1 acquisitions"),
        ({"transmits": (PlaneWave(), PlaneWave())}, "one entry for each of the 1 acquisitions"),
        (
            {"n_acquisitions": 2, "transmits": (PlaneWave(), FocusedBeam(0.0))},
            "all plane waves or all focused",
        ),
    ],
)
def test_what_is_not_possible_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RtelastoError, match=said):
        ChannelFormat(**PLAIN | wrong)


def test_a_transmit_must_be_possible() -> None:
    with pytest.raises(RtelastoError, match="angle_rad"):
        PlaneWave(math.radians(80.0))
    with pytest.raises(RtelastoError, match="origin_time_s"):
        PlaneWave(origin_time_s=math.nan)
    with pytest.raises(RtelastoError, match="line_x_m"):
        FocusedBeam(math.inf)


def test_a_frame_must_be_what_its_format_says() -> None:
    channels = ChannelFormat(**PLAIN)
    with pytest.raises(RtelastoError, match=r"shape \(128, 2048\)"):
        ChannelFrame(np.zeros((128, 2048)), channels)
    with pytest.raises(RtelastoError, match="real numbers"):
        ChannelFrame(np.zeros(channels.shape, complex), channels)
