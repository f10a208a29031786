"""Effects of the scanner on the echoes: noise, clutter, gain drift, dead lines, quantisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rtelasto.host.compiled import kernel
from rtelasto_engines.simulate.echo import EchoModel
from rtelasto_engines.simulate.plane_wave import PlaneWaveModel
from rtelasto_engines.simulate.scatterers import EchoTexture, scatter

Float32Image = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Artefacts:
    """Faults of the imaging chain.

    Parameters
    ----------
    echo_snr_db
        10·log10 of mean echo power over mean noise power in a frame; None: no noise.
    noise_slope_db_per_cm
        Increase of the noise with depth, caused by the TGC.
    clutter_db, clutter_decay_m
        Reverberation that does not move with the tissue: power in the uppermost tenth relative to
        the mean echo power, and the depth over which its amplitude falls by e; None: no clutter.
    dead_lines, dead_line_gain
        Lines without an echo, and the amplitude that remains on them. The noise remains.
    gain_drift_db, gain_slope_drift_db_per_cm
        Gain of a later frame relative to the first.
    rms_counts
        Quantise to int16 with this RMS in counts, clipping at full scale; None: keep real numbers.
    """

    echo_snr_db: float | None = None
    noise_slope_db_per_cm: float = 0.0
    clutter_db: float | None = None
    clutter_decay_m: float = 8e-3
    dead_lines: tuple[int, ...] = ()
    dead_line_gain: float = 0.0
    gain_drift_db: float = 0.0
    gain_slope_drift_db_per_cm: float = 0.0
    rms_counts: float | None = None


class Receiver:
    """Converts noise-free echoes to recorded frames, in the same way for all frames of a recording.

    Levels refer to the echo power of the first frame, so that the contrast between frames is preserved.

    Parameters
    ----------
    rng
        Draws the clutter.
    model
        The echo model of the frames.
    artefacts
        The effects to add.
    reference_power
        Mean square of the first, noise-free frame.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        model: EchoModel | PlaneWaveModel,
        artefacts: Artefacts,
        reference_power: float,
    ) -> None:
        self.artefacts = artefacts
        self._rms = float(np.sqrt(max(reference_power, 1e-30)))
        self._filter = model.receive_filter
        f = model.format
        self._depth_m = f.grid.depth_m
        self._clutter: Float32Image | None = None
        if artefacts.clutter_db is not None:
            # Few scatterers per cell: reverberations are isolated echoes, not full speckle.
            still = scatter(rng, model, EchoTexture(per_cell=1.0)).moved(None)
            clutter = model.rf(still)
            clutter *= np.exp(-(self._depth_m - f.start_depth_m) / artefacts.clutter_decay_m)
            rms = float(np.sqrt(np.mean(clutter[:, : max(1, f.n_samples // 10)] ** 2)))
            level = 10.0 ** (artefacts.clutter_db / 20.0) * self._rms / max(rms, 1e-30)
            self._clutter = (level * clutter).astype(np.float32)

    @property
    def counts_per_unit(self) -> float:
        """Scale from noise-free echoes to the frames returned."""
        counts = self.artefacts.rms_counts
        return 1.0 / self._rms if counts is None else counts / self._rms

    def receive(
        self, rng: np.random.Generator, echoes: Float32Image, *, drift: float = 0.0
    ) -> Float32Image:
        """Return one recorded frame, float32 (n_lines, n_samples).

        The echoes have an RMS of 1, or are whole numbers in the range of int16 if ``rms_counts`` is given.
        ``drift`` is the current fraction of the gain drift, 0 in the first frame.
        """
        a = self.artefacts
        frame = echoes.copy()
        if self._clutter is not None:
            frame += self._clutter
        for line in a.dead_lines:
            frame[line] *= np.float32(a.dead_line_gain)
        if a.echo_snr_db is not None:
            noise = rng.standard_normal(frame.shape, dtype=np.float32)
            slope = 10.0 ** (
                a.noise_slope_db_per_cm * 100.0 * (self._depth_m - self._depth_m[0]) / 20.0
            )
            slope *= 10.0 ** (-a.echo_snr_db / 20.0) * self._rms / np.sqrt(np.mean(slope**2))
            _add_filtered(noise, self._filter, slope.astype(np.float32), frame)
        gain = np.full(frame.shape[1], self.counts_per_unit)
        if drift != 0.0:
            gain_db = a.gain_drift_db + a.gain_slope_drift_db_per_cm * 100.0 * (
                self._depth_m - self._depth_m[0]
            )
            gain *= 10.0 ** (drift * gain_db / 20.0)
        frame *= gain.astype(np.float32)
        if a.rms_counts is not None:
            np.rint(frame, out=frame)
            np.clip(frame, -32768.0, 32767.0, out=frame)
        return frame


@kernel(fastmath=True)
def _add_filtered(
    noise: Float32Image, taps: NDArray[np.float32], gain: NDArray[np.float32], out: Float32Image
) -> None:
    """Add gain · (noise filtered along the lines) to out, wrapped around so that its power is uniform."""
    n_samples = noise.shape[1]
    padded = np.empty(n_samples + taps.size - 1, np.float32)
    total = np.empty(n_samples, np.float32)
    for line in range(noise.shape[0]):
        padded[:n_samples] = noise[line]
        padded[n_samples:] = noise[line, : taps.size - 1]
        total[:] = 0.0
        for k in range(taps.size):
            tap = taps[k]
            for p in range(n_samples):
                total[p] += tap * padded[p + k]
        for p in range(n_samples):
            out[line, p] += gain[p] * total[p]
