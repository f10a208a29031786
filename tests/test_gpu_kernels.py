"""The GPU back-end's kernels against the CPU's stages: on the host here, as cubins for every GPU.

The kernels run on this machine's CPU, compiled by its C++ compiler (``host_kernels``).
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from host_kernels import HostGpu
from speckle import PUBLISHED_FORMAT, speckle_pair

from rtelasto.cpu.averaging.measurement import measure
from rtelasto.cpu.echoes import echoes
from rtelasto.cpu.stretch import Stretch
from rtelasto.cpu.stretching.baseband import baseband
from rtelasto.cpu.total_motion import total_motion
from rtelasto.frames.rf import FramePair, RfFormat, RfFrame
from rtelasto.frames.stamp import FrameStamp
from rtelasto.frames.strain import Elongation, ResidualMotion, StrainFrame, compose
from rtelasto.gpu.kernels import ARCHITECTURES
from rtelasto.gpu.layout import Layout
from rtelasto.gpu.records import STATISTICS
from rtelasto.gpu.source import kernel_source
from rtelasto.gpu.workspace import MORE_OUTPUTS

PITCH_M = PUBLISHED_FORMAT.line_pitch_m
SMALL = RfFormat(
    n_lines=33, n_samples=1001, sampling_freq_hz=40e6, center_freq_hz=6.25e6, line_pitch_m=0.3e-3
)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def layout_of(pair: FramePair, samples_per_wavelength: float | None = 6.4) -> Layout:
    is_float = pair.pre.samples.dtype.kind == "f"
    return Layout(pair.pre.format, samples_per_wavelength, 4, is_float)


def stretch_error(gpu: HostGpu, pair: FramePair, stretch: Stretch) -> float:
    """RMS difference of both stretched frames, whose RMS is 1."""
    wanted = stretch(pair)
    gpu.stretch(pair)
    return max(rms(gpu["pre"] - wanted.pre), rms(gpu["post"] - wanted.post))


MOTIONS = {
    "rest": Elongation(),
    "slow press": Elongation(0.02e-3, 0.0, -0.0005),
    "press": Elongation(0.05e-3, 0.001, -0.01, 0.05, 0.4 * PITCH_M),
    "lateral": Elongation(0.0, 0.0, -0.005, 0.0, 2.5 * PITCH_M, 0.02),
    "wide": Elongation(-1.0e-3, 0.0, 0.05, 0.0, -3 * PITCH_M),
    "turn": Elongation(0.05e-3, -0.0175, -0.005, 0.0, 0.0, 0.0, 0.0175),
}


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
def test_stretch_is_that_of_the_cpu(library: ctypes.CDLL, motion: Elongation) -> None:
    pair = speckle_pair(np.random.default_rng(1), elongation=motion, snr_db=25)
    stretch = Stretch(6.4)
    gpu = HostGpu(library, layout_of(pair))
    assert stretch_error(gpu, pair, stretch) < 1e-5
    fit, (_, summary) = stretch.estimator(pair), gpu.output()
    wanted = [getattr(fit.elongation, name) for name in Elongation.__slots__]
    found = summary["elongation"]
    np.testing.assert_allclose(found[:4], wanted[:4], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(found[4:], wanted[4:], rtol=1e-4, atol=1e-6)
    assert summary["fit_correlation"] == pytest.approx(fit.correlation, abs=5e-5)
    assert bool(summary["searched_widely"]) == fit.searched_widely


def test_stretch_of_a_motion_found_only_after_many_rounds(library: ctypes.CDLL) -> None:
    """From far off, rounding decides which way the first rounds go; the end has to be the same."""
    motion = Elongation(0.1e-3, 0.005, -0.03, 0.4, 2.5 * PITCH_M, 0.02)
    pair = speckle_pair(np.random.default_rng(1), elongation=motion, snr_db=25)
    assert stretch_error(HostGpu(library, layout_of(pair)), pair, Stretch(6.4)) < 1e-3


@pytest.mark.parametrize(
    ("rf_format", "samples_per_wavelength"),
    [
        (SMALL, 6.4),  # odd sizes
        (
            RfFormat(
                n_lines=5,
                n_samples=300,
                sampling_freq_hz=40e6,
                center_freq_hz=6.25e6,
                line_pitch_m=0.3e-3,
            ),
            6.4,
        ),
        (
            RfFormat(
                n_lines=1,
                n_samples=700,
                sampling_freq_hz=40e6,
                center_freq_hz=6.25e6,
                line_pitch_m=0.3e-3,
            ),
            6.4,
        ),
        (
            RfFormat(
                n_lines=192,
                n_samples=1664,
                sampling_freq_hz=31.25e6,
                center_freq_hz=7.8125e6,
                line_pitch_m=0.2e-3,
            ),
            6.4,
        ),  # a finer grid
        (
            RfFormat(
                n_lines=64,
                n_samples=2000,
                sampling_freq_hz=38.5e6,
                center_freq_hz=4.65e6,
                line_pitch_m=0.2e-3,
                start_depth_m=3e-3,
            ),
            6.4,
        ),  # a coarser one
        (
            RfFormat(
                n_lines=17,
                n_samples=4000,
                sampling_freq_hz=100e6,
                center_freq_hz=5e6,
                line_pitch_m=0.3e-3,
                start_depth_m=2e-3,
            ),
            6.4,
        ),  # three times coarser
        (
            RfFormat(
                n_lines=16,
                n_samples=2608,
                sampling_freq_hz=40e6,
                center_freq_hz=6.25e6,
                line_pitch_m=0.3e-3,
            ),
            6.0,
        ),
        (
            RfFormat(
                n_lines=24,
                n_samples=1111,
                sampling_freq_hz=20e6,
                center_freq_hz=6.6e6,
                line_pitch_m=0.3e-3,
            ),
            None,
        ),  # 3 per wavelength
    ],
)
def test_any_format(
    library: ctypes.CDLL, rf_format: RfFormat, samples_per_wavelength: float | None
) -> None:
    motion = Elongation(3e-5, 0.0, -0.006)
    pair = speckle_pair(np.random.default_rng(2), rf_format=rf_format, elongation=motion, snr_db=25)
    layout = layout_of(pair, samples_per_wavelength)
    stretch = Stretch(samples_per_wavelength)
    assert stretch_error(HostGpu(library, layout), pair, stretch) < 1e-4


@pytest.mark.parametrize("kind", ["silent", "one silent", "unrelated", "holes", "constant"])
def test_frames_without_a_common_echo(library: ctypes.CDLL, kind: str) -> None:
    rng = np.random.default_rng(3)
    pre, post = rng.standard_normal((2, SMALL.n_lines, SMALL.n_samples)).astype(np.float32)
    if kind == "silent":
        pre[:], post[:] = 0.0, 0.0
    elif kind == "one silent":
        post[:] = 0.0
    elif kind == "constant":
        pre[:], post[:] = 7.0, 7.0
    elif kind == "holes":
        post[:] = pre
        pre[3, ::7], post[::5, 100:110] = np.nan, np.inf
    pair = FramePair(RfFrame(pre, SMALL, FrameStamp(0)), RfFrame(post, SMALL, FrameStamp(1)))
    gpu = HostGpu(library, layout_of(pair))
    error = stretch_error(gpu, pair, Stretch(6.4))
    # Without an echo that has moved, what a constant's edges suggest depends on the rounding.
    assert error < 1e-4 or kind == "constant"
    gpu["residual_samples"][:] = gpu["residual_strain"][:] = 0.0
    gpu.quality()
    images, summary = gpu.output()
    assert all(np.isfinite(image).all() for image in images.values())
    assert np.isfinite(summary["quality"])


@pytest.mark.parametrize("rf_format", [(1, 1), (1, 2608), (2, 40), (3, 64), (5, 9), (128, 20)])
def test_sizes_that_hold_hardly_anything(library: ctypes.CDLL, rf_format: tuple[int, int]) -> None:
    size = RfFormat(
        n_lines=rf_format[0],
        n_samples=rf_format[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.3e-3,
    )
    pre, post = np.random.default_rng(9).standard_normal((2, *rf_format)).astype(np.float32)
    pair = FramePair(RfFrame(pre, size, FrameStamp(0)), RfFrame(post, size, FrameStamp(1)))
    gpu = HostGpu(library, layout_of(pair))
    gpu.stretch(pair)
    # Noise has no motion to agree on; the pair has to be one all the same. A single sample is no echo.
    wanted = 1.0 if rf_format[1] > 1 else 0.0
    assert rms(np.stack([gpu["pre"], gpu["post"]])) == pytest.approx(wanted, abs=1e-4)


def test_baseband_is_that_of_the_cpu(library: ctypes.CDLL) -> None:
    pair = speckle_pair(np.random.default_rng(4), rf_format=SMALL)
    gpu = HostGpu(library, layout_of(pair))
    gpu.upload(pair.post.samples, 0, 1)
    free = echoes(pair.post.samples, SMALL)
    wanted = baseband(free, SMALL)
    statistics = gpu["ring_statistics"].view(STATISTICS)[1]
    found = statistics["scale"] * gpu["ring_baseband"][1]
    np.testing.assert_allclose(found, np.stack([wanted.real, wanted.imag]), atol=1e-5)
    assert statistics["floor"] > 1e-12
    np.testing.assert_allclose(gpu["ring_echoes"][1], free, atol=2e-2)


@pytest.mark.parametrize("rf_format", [PUBLISHED_FORMAT, SMALL])
def test_add_back_and_quality_are_those_of_the_cpu(
    library: ctypes.CDLL, rf_format: RfFormat
) -> None:
    rng = np.random.default_rng(5)
    motion = Elongation(0.02e-3, 0.002, -0.004, 0.02, 0.2e-3, 0.003, 0.02)
    pair = speckle_pair(rng, rf_format=rf_format, elongation=motion, snr_db=15)
    gpu = HostGpu(
        library, Layout(rf_format, 6.4, 4, pair.pre.samples.dtype.kind == "f", tuple(MORE_OUTPUTS))
    )
    stretched = Stretch(6.4)(pair)
    gpu.stretch(pair)
    rows = gpu.layout.rows
    lateral, widening, std = rng.standard_normal((3, *rows.shape), dtype=np.float32)
    # A residual that runs out of the image at both ends, is rough, and is NaN in one place; in half of the
    # lines the strain is its slope, in the other half it is not.
    residual = np.cumsum(rng.standard_normal(rows.shape, dtype=np.float32), axis=1)
    strain = (np.gradient(residual, axis=1) / gpu.layout.axial_stride).astype(np.float32)
    strain[rows.n_lines // 2 :] += 0.01
    # No residual is right in the rest: there the strain follows the displacement.
    residual[-16:], strain[-16:, : rows.n_depths // 2] = 0.0, 0.02
    residual[1, 7], residual[2] = np.nan, 5000.0
    gpu["residual_samples"][:], gpu["residual_strain"][:] = residual, strain
    gpu["residual_lateral"][:], gpu["residual_lateral_strain"][:] = lateral, 0.01 * widening
    std = np.float32(1e-3) * std**2
    std[0, :3] = np.nan, np.inf, 0.0
    gpu["residual_strain_std"][:] = std
    gpu.quality()
    images, summary = gpu.output()
    step_m, pitch_m = (
        np.float32(size) for size in (stretched.grid.axial_step_m, stretched.grid.line_pitch_m)
    )
    wanted = ResidualMotion(
        residual * step_m, strain, rows, lateral * pitch_m, np.float32(0.01) * widening, std
    )
    before = compose(stretched.elongation, wanted).axial_strain
    total, agreement, correlation = total_motion(stretched, wanted, rf_format.wavelength_m)
    assert 0.02 < (correlation < 0.9 * agreement).mean() < 0.9
    assert 0.02 < (total.axial_strain != before).mean() < 0.9
    np.testing.assert_allclose(
        images["displacement_m"], total.axial_displacement_m, rtol=1e-5, atol=1e-9
    )
    np.testing.assert_allclose(images["strain"], total.axial_strain, rtol=1e-5, atol=2e-6)
    for name, atol in (
        ("lateral_displacement_m", 1e-7),
        ("lateral_strain", 2e-6),
        ("axial_strain_std", 1e-8),
    ):
        np.testing.assert_allclose(images[name], getattr(total, name), rtol=1e-5, atol=atol)
    frame = StrainFrame(total.axial_strain, total.axial_displacement_m, correlation, rows)
    certainty = measure(frame.replace(axial_strain_std=total.axial_strain_std)).certainty
    # A correlation that is all but 0 may be 0 on the other device.
    assert np.quantile(np.abs(gpu["certainty"] - certainty), 0.999) < 1e-5
    assert 0.1 < certainty.mean() < 0.9
    # Whole and fractional part of a displacement may fall on either side of a whole sample.
    for name, map_ in (("correlation", correlation), ("post_warp_correlation", agreement)):
        difference = np.abs(images[name] - map_)
        assert rms(difference) < 1e-4
        assert np.quantile(difference, 0.999) < 1e-4
    assert summary["quality"] == pytest.approx(np.median(correlation), abs=1e-5)
    assert summary["applied_strain"] == pytest.approx(np.median(total.axial_strain), abs=1e-7)


@pytest.mark.parametrize("shape", [(1, 4), (3, 9), (4, 7), (33, 251)])
def test_medians_of_odd_and_even_counts_with_ties(
    library: ctypes.CDLL, shape: tuple[int, int]
) -> None:
    size = RfFormat(
        n_lines=shape[0],
        n_samples=4 * shape[1],
        sampling_freq_hz=40e6,
        center_freq_hz=6.25e6,
        line_pitch_m=0.3e-3,
    )
    gpu = HostGpu(library, Layout(size, 6.4, 4, False))
    rng = np.random.default_rng(6)
    for values in (rng.standard_normal(shape), rng.integers(-2, 3, shape), np.zeros(shape)):
        gpu["correlation"][:], gpu["strain"][:] = values, -values
        gpu.launch("medians", (2,), threads=512)
        _, summary = gpu.output()
        wanted = np.median(values.astype(np.float32))
        assert summary["quality"] == pytest.approx(wanted, abs=1e-7)
        assert summary["applied_strain"] == pytest.approx(-wanted, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("motion", ["press", "wide"])
def test_the_order_of_threads_and_blocks_does_not_matter(library: ctypes.CDLL, motion: str) -> None:
    pair = speckle_pair(np.random.default_rng(7), elongation=MOTIONS[motion], snr_db=20)
    outputs = []
    for reverse in (False, True):
        gpu = HostGpu(library, layout_of(pair), reverse=reverse)
        gpu.stretch(pair)
        gpu["residual_samples"][:] = gpu["pre"][:, ::4]
        gpu["residual_strain"][:] = 0.01 * gpu["post"][:, ::4]
        gpu.quality()
        outputs.append(gpu.workspace.output.tobytes())
    assert outputs[0] == outputs[1]


def test_every_pair_of_frames_in_the_ring_can_be_asked_for(library: ctypes.CDLL) -> None:
    pair = speckle_pair(np.random.default_rng(8), rf_format=SMALL, snr_db=20)
    forth, back = (HostGpu(library, layout_of(pair)) for _ in range(2))
    forth.stretch(pair)
    # The same two frames in other slots, with a third one uploaded in between.
    back.upload(pair.pre.samples, 0, 0)
    back.upload(pair.post.samples[::-1], 0, 1)
    back.upload(pair.post.samples, 0, 2)
    back.stretch_ring()
    for name in ("pre", "post"):
        np.testing.assert_array_equal(forth[name], back[name])


def test_recordings_beyond_the_kernels_are_named() -> None:
    assert (
        "too large"
        in Layout(
            RfFormat(
                n_lines=4096,
                n_samples=20000,
                sampling_freq_hz=40e6,
                center_freq_hz=6e6,
                line_pitch_m=3e-4,
            ),
            6.4,
            4,
            False,
        ).unsupported()
    )
    # A hundred times finer than an engine's grid.
    fine = Layout(
        RfFormat(
            n_lines=4,
            n_samples=60000,
            sampling_freq_hz=200e6,
            center_freq_hz=1e6,
            line_pitch_m=3e-4,
        ),
        2.0,
        4,
        False,
    )
    assert "samples per wavelength" in fine.unsupported()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles_for(architecture: str) -> None:
    """To machine code, by NVRTC, as on a machine with such a GPU."""
    core = pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    options = core.ProgramOptions(std="c++17", arch=architecture)
    try:
        program = core.Program(kernel_source(), "c++", options)
    except Exception as error:  # cuda-pathfinder raises its own types
        pytest.skip(f"NVRTC is not installed ({type(error).__name__})")
    cubin = program.compile("cubin").code
    folder = Path(__file__).parents[1] / "rtelasto" / "gpu" / "cuda"
    names = re.findall(r"KERNEL\((\w+),", (folder / "kernels.cu").read_text())
    # Every function for a block of threads is a kernel.
    assert sorted(names) == sorted(re.findall(r"HD void (\w+)_block\(Block\b", kernel_source()))
    for name in names:
        assert name.encode() in cubin
