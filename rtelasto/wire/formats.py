"""The header keys that describe the three kinds of RF data: RF lines, IQ pixels, channel data.

The five physical keys are common to all. IQ and channel data add one map with the keys that only they need.
"""

from __future__ import annotations

from typing import Any, cast

from rtelasto.errors import RtelastoError
from rtelasto.frames.channel import (
    MAX_ACQUISITIONS,
    ChannelFormat,
    FocusedBeam,
    PlaneWave,
    Sampling,
)
from rtelasto.frames.iq import Carrier, IqFormat, ScannerFormat
from rtelasto.frames.rf import MAX_LINES, MAX_SAMPLES, PHYSICS, RfFormat, check_physics
from rtelasto.wire.message import Header, WireFault, real, short, text, whole

KIND_RF_LINES = "rf_lines"
KIND_IQ = "iq"
KIND_CHANNEL = "channel"
# The dtypes that each kind may have, and its largest size along each axis.
KINDS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    KIND_RF_LINES: (("<i2", "<f4"), (MAX_LINES, MAX_SAMPLES)),
    KIND_IQ: (("<c8",), (MAX_LINES, MAX_SAMPLES)),
    KIND_CHANNEL: (("<i2", "<f4"), (MAX_ACQUISITIONS, MAX_LINES, MAX_SAMPLES)),
}


def kind_of(scanner_format: ScannerFormat) -> str:
    """The name of this kind of data in the header."""
    if isinstance(scanner_format, ChannelFormat):
        return KIND_CHANNEL
    return KIND_IQ if isinstance(scanner_format, IqFormat) else KIND_RF_LINES


def format_fields(scanner_format: ScannerFormat) -> Header:
    """The keys of a header from ``sampling_freq_hz`` on, in the order of docs/wire.md."""
    f = scanner_format
    if not isinstance(f, ChannelFormat):
        fields: Header = {name: getattr(f, name) for name in PHYSICS}
        if isinstance(f, IqFormat):
            fields["iq"] = {"demodulation_freq_hz": f.demodulation_freq_hz, "carrier": f.carrier}
        return fields
    return {
        "sampling_freq_hz": f.sampling_freq_hz,
        "center_freq_hz": f.center_freq_hz,
        "line_pitch_m": f.element_pitch_m,
        "start_depth_m": 0.5 * f.sound_speed_m_s * f.start_time_s,
        "sound_speed_m_s": f.sound_speed_m_s,
        "channel": {
            "n_elements": f.n_elements,
            "sampling": f.sampling,
            "transmit": "plane" if f.plane else "focused",
            "angles_rad" if f.plane else "lines_m": f.aims,
            "origin_times_s": [transmit.origin_time_s for transmit in f.transmits],
            "first_elements": list(f.first_elements),
        },
    }


def read_format(kind: str, shape: tuple[int, ...], header: Header) -> ScannerFormat:
    """The format that a header of this kind and shape describes.

    Raises
    ------
    WireFault
        With cause header where a key is missing or has the wrong type, and format where its value is
        invalid.
    """
    physics = {name: real(header, name, "format") for name in PHYSICS}
    try:
        if kind == KIND_IQ:
            iq = _map(header, "iq")
            return IqFormat(
                n_lines=shape[0],
                n_samples=shape[1],
                demodulation_freq_hz=real(iq, "demodulation_freq_hz", "format"),
                carrier=cast(Carrier, text(iq.get("carrier"), "iq.carrier")),
                **physics,
            )
        if kind == KIND_CHANNEL:
            return _channel_format(shape, physics, _map(header, "channel"))
        return RfFormat(n_lines=shape[0], n_samples=shape[1], **physics)
    except WireFault:
        raise
    except RtelastoError as error:
        raise WireFault("format", str(error)) from error


def _channel_format(
    shape: tuple[int, ...], physics: dict[str, float], channel: Header
) -> ChannelFormat:
    kind = text(channel.get("transmit"), "channel.transmit")
    if kind not in ("plane", "focused"):
        raise WireFault("format", f"channel.transmit must be plane or focused, got {short(kind)}")
    aims = _reals(channel, "angles_rad" if kind == "plane" else "lines_m", shape[0])
    times_s = _reals(channel, "origin_times_s", shape[0])
    make: Any = PlaneWave if kind == "plane" else FocusedBeam
    first_elements = _list(channel, "first_elements", shape[0])
    sound_speed_m_s = check_physics("sound_speed_m_s", physics["sound_speed_m_s"])
    return ChannelFormat(
        n_acquisitions=shape[0],
        n_channels=shape[1],
        n_samples=shape[2],
        sampling_freq_hz=physics["sampling_freq_hz"],
        center_freq_hz=physics["center_freq_hz"],
        element_pitch_m=physics["line_pitch_m"],
        n_elements=whole(channel.get("n_elements"), "channel.n_elements", lowest=1),
        start_time_s=2.0 * physics["start_depth_m"] / sound_speed_m_s,
        sound_speed_m_s=sound_speed_m_s,
        transmits=tuple(make(aim, time) for aim, time in zip(aims, times_s, strict=True)),
        first_elements=tuple(whole(e, "channel.first_elements") for e in first_elements),
        sampling=cast(Sampling, text(channel.get("sampling"), "channel.sampling")),
    )


def _map(header: Header, key: str) -> Header:
    value = header.get(key)
    if not isinstance(value, dict):
        raise WireFault("header", f"{key} must be a map, got {short(value)}")
    return value


def _list(channel: Header, key: str, length: int) -> list[Any]:
    value = channel.get(key)
    if not isinstance(value, list) or len(value) != length:
        raise WireFault(
            "header", f"channel.{key} must list one value for each of {length} acquisitions"
        )
    return value


def _reals(channel: Header, key: str, length: int) -> list[float]:
    return [real({key: value}, key, "format") for value in _list(channel, key, length)]
