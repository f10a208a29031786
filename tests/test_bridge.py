"""The Python side of the bridge through MATLAB's Python interface."""

from __future__ import annotations

import numpy as np
from waiting import WAIT_S

from rtelasto import ChannelFormat, IqFormat, Receiver, RfFormat, RfSender


def test_an_array_laid_out_as_matlab_does_arrives_as_lines_of_samples() -> None:
    # MATLAB's [samples, lines] is column-major, and its integers come as NumPy's int32.
    rf = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(6, 4))
    rf_format = RfFormat(
        n_lines=np.int32(4),
        n_samples=np.int32(6),
        sampling_freq_hz=31.25e6,
        center_freq_hz=7.8125e6,
        line_pitch_m=0.2969e-3,
    )
    transposed = np.asarray(rf).T
    assert transposed.base is not None
    assert transposed.flags.c_contiguous
    with RfSender("tcp://127.0.0.1:0") as sender, Receiver(sender.endpoint) as receiver:
        assert sender.wait_for_subscriber(WAIT_S)
        sender.send(transposed, rf_format)
        frame = receiver.get(WAIT_S)
    assert frame is not None
    np.testing.assert_array_equal(frame.samples, rf.T)
    assert frame.format == RfFormat(
        n_lines=4,
        n_samples=6,
        sampling_freq_hz=31.25e6,
        center_freq_hz=7.8125e6,
        line_pitch_m=0.2969e-3,
    )


def test_iq_and_channel_data_go_the_same_way() -> None:
    # [pixels, lines] complex and [samples, channels, acquisitions] int16, as MATLAB holds them.
    pixels = np.asfortranarray((np.arange(12) + 1j).reshape(4, 3).astype(np.complex64))
    iq_format = IqFormat(
        n_lines=3,
        n_samples=4,
        sampling_freq_hz=7.8e6,
        demodulation_freq_hz=7.8e6,
        center_freq_hz=7.8e6,
        line_pitch_m=0.2e-3,
    )
    received = np.asfortranarray(np.arange(24, dtype=np.int16).reshape(4, 3, 2))
    channels = ChannelFormat(
        n_acquisitions=2,
        n_channels=3,
        n_samples=4,
        sampling_freq_hz=31.25e6,
        center_freq_hz=7.8125e6,
        element_pitch_m=0.2e-3,
    )
    with (
        RfSender("tcp://127.0.0.1:0") as sender,
        Receiver(sender.endpoint, policy="every") as receiver,
    ):
        assert sender.wait_for_subscriber(WAIT_S)
        for array, scanner_format in ((pixels, iq_format), (received, channels)):
            sender.send(np.asarray(array).T, scanner_format)
            frame = receiver.get(WAIT_S)
            assert frame is not None
            assert frame.format == scanner_format
            np.testing.assert_array_equal(frame.samples, array.T)
