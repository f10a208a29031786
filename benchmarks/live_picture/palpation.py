"""A simulated palpation: presses with a pause, drift, tremor and slip, rendered once for all rates."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rtelasto.accuracy.tissue_regions import Windows, strain_windows
from rtelasto.frames.rf import Grid, RfFormat
from rtelasto_engines.simulate.hand import HandMotion
from rtelasto_engines.simulate.motion import Truth, truth_between
from rtelasto_engines.simulate.scene import L12_5_FORMAT
from rtelasto_engines.simulate.sequence import SimulatedSequence, simulate_sequence
from rtelasto_engines.simulate.tissue import Inclusion

PRESS_S = 1.0
# Of every four seconds, the last is a pause.
_CYCLE_S, _PRESSING_S = 4.0, 3.0
_DRIFT, _TREMOR = 0.05, 0.005
SMALL_FORMAT = RfFormat(
    n_lines=48,
    n_samples=1024,
    sampling_freq_hz=31.25e6,
    center_freq_hz=7.8125e6,
    line_pitch_m=2.969e-4,
)
_RMS_COUNTS = 1500.0
# Small enough for the pattern of a further small press in any state of the tissue.
_PROBING_STRAIN = -1e-3
BORDER_LINES, BORDER_ROWS = 4, 12


def pressed_strain(time_s: NDArray[np.float64], peak_strain: float) -> NDArray[np.float64]:
    """Return the applied strain over time, negative in compression: presses of 1 Hz without every fourth."""
    within = np.mod(time_s, _CYCLE_S)
    press = np.where(
        within < _PRESSING_S, 0.5 - 0.5 * np.cos(2.0 * math.pi * time_s / PRESS_S), 0.0
    )
    drift = _DRIFT * np.sin(2.0 * math.pi * 0.11 * time_s)
    tremor = _TREMOR * np.sin(2.0 * math.pi * 9.0 * time_s)
    return -peak_strain * (press + drift + tremor)


@dataclass(eq=False)
class Palpation:
    """Frames without noise, and the truth.

    Parameters
    ----------
    peak_strain
        Compression at the height of a press.
    seconds, frames_per_s
        Duration, and the highest frame rate; lower rates must divide it.
    rf_format
        Of the frames.
    """

    peak_strain: float
    seconds: float
    frames_per_s: int = 100
    rf_format: RfFormat = L12_5_FORMAT

    def __post_init__(self) -> None:
        n_frames = round(self.seconds * self.frames_per_s)
        hand = HandMotion(peak_strain=1.4 * self.peak_strain, tilt=0.0)
        drawn = simulate_sequence(
            11,
            n_frames=n_frames,
            frame_rate_hz=self.frames_per_s,
            rf_format=self.rf_format,
            hand=hand,
        )
        strain = pressed_strain(drawn.time_s, self.peak_strain)
        path = dataclasses.replace(
            drawn.path, strain=strain - strain[0], tilt_strain=np.zeros(n_frames)
        )
        self.sequence: SimulatedSequence = dataclasses.replace(drawn, path=path)

    @cached_property
    def echoes(self) -> NDArray[np.int16]:
        """Return all frames without noise, int16 of RMS 1500, (n_frames, n_lines, n_samples)."""
        sequence = self.sequence
        shape = (len(sequence), self.rf_format.n_lines, self.rf_format.n_samples)
        frames = np.empty(shape, np.int16)
        scale = 0.0
        for k in range(len(sequence)):
            moved = sequence.cloud.moved(
                sequence.field(k), elevation_m=float(sequence.path.out_of_plane_m[k])
            )
            rf = sequence.model.rf(moved)
            scale = scale or _RMS_COUNTS / float(np.sqrt(np.mean(rf**2, dtype=np.float64)))
            frames[k] = np.clip(np.rint(scale * rf), -32768, 32767)
        return frames

    def noisy(self, snr_db: float, every: int) -> NDArray[np.int16]:
        """Return every n-th frame, with noise."""
        rng = np.random.default_rng([17, round(snr_db)])
        rms = _RMS_COUNTS * 10.0 ** (-snr_db / 20.0)
        frames = self.echoes[::every].copy()
        for frame in frames:
            noise = rms * rng.standard_normal(frame.shape, dtype=np.float32)
            frame[:] = np.clip(np.rint(frame + noise), -32768, 32767)
        return frames

    def pattern(self, k: int, grid: Grid) -> NDArray[np.float64]:
        """Return the strain of a further small press relative to its median, at the points of frame ``k``."""
        before = self.sequence.field(k)
        after = before.plus(self.sequence.push.scaled(_PROBING_STRAIN))
        strain = truth_between(before, after, grid).axial_strain
        return np.asarray(strain / np.median(strain[judged(grid)]))

    def inclusion(self, k: int) -> Inclusion:
        """Return the stiff lesion at its position in frame ``k``."""
        tissue = self.sequence.scene.tissue
        assert tissue is not None
        lesion = tissue.inclusions[0]
        at = Grid(3, 3, 1e-4, 1e-4, lesion.z_m - 1e-4)
        field = self.sequence.field(k)
        moved = dataclasses.replace(field, x0_m=field.x0_m - lesion.x_m).truth(at)
        return dataclasses.replace(
            lesion,
            x_m=lesion.x_m + float(moved.lateral_displacement_m[1, 1]),
            z_m=lesion.z_m + float(moved.axial_displacement_m[1, 1]),
        )

    def windows(self, grid: Grid) -> Windows:
        """Return windows in the uniform background and inside the lesion."""
        truth: Truth = self.sequence.push.scaled(0.01).truth(grid)
        return strain_windows(truth, judged(grid), self.inclusion(0))


def judged(grid: Grid) -> NDArray[np.bool_]:
    """Return the pixels away from the border, where tissue does not enter or leave."""
    inside = np.zeros(grid.shape, bool)
    inside[BORDER_LINES:-BORDER_LINES, BORDER_ROWS:-BORDER_ROWS] = True
    return inside
