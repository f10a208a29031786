"""Videos of B-mode beside strain, frame after frame, on one range of colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rtelasto.errors import MissingExtraError, RtelastoError
from rtelasto.frames.rf import RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.sinks.output_check import VIDEO, WRITTEN_BY, check_suffix
from rtelasto.sinks.output_file import OutputFile
from rtelasto.sinks.picture import Drawing
from rtelasto.sinks.strain_layers import DEFAULT_MASK, Layer, Shown, layer_of

_PIXELS_PER_INCH = 110
# For recordings without times; and the rates that players support.
_FPS_UNKNOWN, _FPS_LIMITS = 10.0, (1.0, 60.0)
_QUALITY = 7


class StrainSequence(Protocol):
    """Strain frames that can be iterated over more than once, such as those of a `StrainFile`."""

    path: Path
    acquired_ns: NDArray[np.int64]

    def __iter__(self) -> Iterator[StrainFrame]: ...


def save_video(
    path: Path,
    strain: StrainSequence,
    rf_of: Callable[[int], RfFrame],
    *,
    mask_below: float = DEFAULT_MASK,
    show: Shown = "strain",
    on_frame: Callable[[], None] | None = None,
) -> None:
    """Draw every strain frame into an MP4 (H.264), at the rate at which they were acquired.

    ``rf_of`` returns the RF frame with a frame id, as `Recording.frame` does. ``show`` is that of
    `rtelasto.sinks.picture.save_picture`.

    If the frames have relative strain, it is shown as in `rtelasto.sinks.picture.save_picture`: press and
    release look alike, and at rest the last picture stays. Without it, the colours cover one range, the
    3rd to 97th percentile of the strain shown in all frames. Strain is positive in the direction of the
    press, so that soft tissue looks the same in a press and in a release. Tissue at rest shows the B-mode
    (`rtelasto.sinks.shown_strain`). The caption keeps the sign.

    Raises
    ------
    MissingExtraError
        If matplotlib or imageio-ffmpeg is not installed.
    RtelastoError
        If the video cannot be written or its suffix is not .mp4.
    """
    check_suffix(path, VIDEO)
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        raise MissingExtraError("a video", "video") from None
    writer: Any = None
    with OutputFile(path) as temporary:
        try:
            drawing: Drawing | None = None
            layer: Layer | None = None
            for frame in strain:
                if layer is None:
                    layer = layer_of(frame, show, mask_below)
                rf = rf_of(layer.at_frame(frame))
                if drawing is None:
                    drawing = Drawing(frame, rf, layer, limits=layer.common_limits(strain))
                else:
                    drawing.update(frame, rf)
                drawing.caption(frame)
                pixels = _even(drawing.pixels(_PIXELS_PER_INCH))
                if writer is None:
                    writer = _open_writer(temporary, pixels.shape, _fps(strain))
                writer.send(pixels)
                if on_frame is not None:
                    on_frame()
            if writer is None:
                raise RtelastoError(f"{strain.path}: there are no strain frames to show")
            writer.close()
        except OSError:
            raise  # the writer has ended
        except BaseException:
            if writer is not None:
                writer.close()
            raise


def _open_writer(path: Path, shape: tuple[int, ...], fps: float) -> Any:
    """Start ffmpeg, which takes images of a shape (rows, columns, 3) with ``send``."""
    import imageio_ffmpeg

    height, width, _ = shape
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        quality=_QUALITY,
        macro_block_size=2,
        # The temporary name has no suffix that would select the format.
        output_params=[
            *("-f", "mp4", "-movflags", "+faststart"),
            *("-metadata", f"comment={WRITTEN_BY}"),
        ],
    )
    writer.send(None)
    return writer


def _fps(strain: StrainSequence) -> float:
    intervals_s = np.diff(strain.acquired_ns) / 1e9
    intervals_s = intervals_s[intervals_s > 0.0]
    if not intervals_s.size:
        return _FPS_UNKNOWN
    return float(np.clip(1.0 / np.median(intervals_s), *_FPS_LIMITS))


def _even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return RGB with an even number of rows and columns, which H.264's colour planes need."""
    height, width = (size - size % 2 for size in pixels.shape[:2])
    return np.ascontiguousarray(pixels[:height, :width, :3])
