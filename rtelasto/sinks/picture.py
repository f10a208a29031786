"""Pictures of B-mode beside strain, with axes in mm."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rtelasto.frames.rf import Grid, RfFrame
from rtelasto.frames.strain import StrainFrame
from rtelasto.notice import NOT_A_MEDICAL_DEVICE
from rtelasto.sinks.output_check import PICTURE, check_suffix, load_matplotlib, save_figure
from rtelasto.sinks.shown_strain import motion_word
from rtelasto.sinks.strain_layers import DEFAULT_MASK, Layer, Limits, Shown, layer_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DYNAMIC_RANGE_DB = 60.0
_IMAGE_HEIGHT_INCH, _IMAGE_WIDTH_INCH = 5.0, 7.0
_PIXELS_PER_INCH = 150


def save_picture(
    path: str | Path,
    frame: StrainFrame,
    rf: RfFrame,
    *,
    title: str | None = None,
    mask_below: float = DEFAULT_MASK,
    show: Shown = "strain",
    made_from: str = "",
) -> None:
    """Draw the B-mode of the pre-compression frame beside its strain and save the picture.

    With persistence the picture shows relative strain, from a quarter to four times that of average tissue
    on a logarithmic scale, so that a colour means the same in every picture. The B-mode shows through where
    the standard deviation is over half of the relative strain. Without persistence it shows the strain of
    the pair in %, positive in the direction of the press, over its 3rd to 97th percentile. The B-mode shows
    through where the correlation is below ``mask_below``, where the strain is too uncertain, and in all of a
    pair at rest: the picture makes no claim there (`rtelasto.sinks.shown_strain`). Both use a colour map that
    is even in lightness and safe for the colour-blind (viridis), dark where the tissue is hard.

    Parameters
    ----------
    path
        The picture: .png, .pdf or .svg.
    frame
        The strain.
    rf
        Its pre-compression frame.
    title
        A line above the picture; by default the origin of the strain.
    mask_below
        Correlation below which strain is not shown, 0 to show all.
    show
        Draw in place of the strain another image that the frame has, in mm or %, in colours of either sign:
        ``lateral-displacement``, ``lateral-strain``, and of accumulated motion, with its reference frame as
        ``rf``, ``accumulated-axial-displacement`` and the like (`rtelasto.sinks.strain_layers.Shown`).
    made_from
        Key of what the strain was computed from (`rtelasto.offline.content_key`), for the picture's keywords.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If the picture cannot be written, its suffix is of another kind, or the frame has no such image.
    """
    path = Path(path)
    check_suffix(path, PICTURE)
    drawing = Drawing(frame, rf, layer_of(frame, show, mask_below), title=title)
    save_figure(drawing.figure, path, per_inch=_PIXELS_PER_INCH, made_from=made_from)


class Drawing:
    """A figure of a strain frame, which can be updated to other frames on the same grid.

    Parameters
    ----------
    frame, rf
        The strain, and the RF frame at whose points it lies.
    layer
        What is coloured; by default the strain, where its correlation is at least 0.7.
    title
        A line above the picture; by default the origin of the strain.
    limits
        Limits of the colours; by default those of the layer for this frame.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    RtelastoError
        If matplotlib cannot be loaded.
    """

    def __init__(
        self,
        frame: StrainFrame,
        rf: RfFrame,
        layer: Layer | None = None,
        *,
        title: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        load_matplotlib()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(layout="constrained")
        self._canvas = FigureCanvasAgg(self.figure)
        self._layer = layer or layer_of(frame, "strain", DEFAULT_MASK)
        _draw(self.figure, frame, rf, self._layer, title=title, limits=limits)

    def update(self, frame: StrainFrame, rf: RfFrame) -> None:
        """Show another frame; keep axes, colours and limits."""
        left, right = self.figure.axes[:2]
        bmode = _bmode_db(rf).T
        left.images[0].set_data(bmode)
        right.images[0].set_data(bmode)
        values = self._layer.values(frame)
        right.images[-1].set_data(values.T)
        right.set_title(self._layer.title(frame, values))

    def caption(self, frame: StrainFrame) -> None:
        """Describe a frame in the line above the picture."""
        self.figure.suptitle(_caption(frame))

    def pixels(self, per_inch: int) -> NDArray[np.uint8]:
        """Return the figure as RGBA, (rows, columns, 4); its layout is computed once, so nothing moves."""
        self.figure.set_dpi(per_inch)
        self._canvas.draw()
        self.figure.set_layout_engine("none")
        return np.asarray(self._canvas.buffer_rgba())

    def png(self, per_inch: int) -> bytes:
        """Return the figure as a PNG file."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=per_inch, facecolor="white")
        return buffer.getvalue()


def _draw(
    figure: Figure,
    frame: StrainFrame,
    rf: RfFrame,
    layer: Layer,
    *,
    title: str | None,
    limits: Limits | None = None,
) -> None:
    extent = extent_mm(rf.format.grid)
    width_mm, height_mm = extent[1] - extent[0], extent[2] - extent[3]
    ratio = width_mm / height_mm
    panel_inch = min(max(_IMAGE_HEIGHT_INCH * ratio, 2.0), _IMAGE_WIDTH_INCH)
    figure.set_size_inches(2 * panel_inch + 3.2, min(panel_inch / ratio, _IMAGE_HEIGHT_INCH) + 1.2)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    bmode = _bmode_db(rf)
    shade: dict[str, Any] = {
        "cmap": "gray",
        "vmin": -DYNAMIC_RANGE_DB,
        "vmax": 0.0,
        "extent": extent,
    }
    echo = left.imshow(bmode.T, interpolation="bilinear", **shade)
    figure.colorbar(echo, cax=_beside(left, panel_inch), label="echo amplitude in dB")
    left.set_title("B-mode")
    left.set_ylabel("depth in mm")
    right.imshow(bmode.T, interpolation="bilinear", **shade)
    _draw_layer(figure, right, _beside(right, panel_inch), frame, layer, limits)
    for axes in (left, right):
        axes.set_xlabel("lateral position in mm")
        axes.set_aspect("equal")
        axes.set_xlim(extent[0], extent[1])
        axes.set_ylim(extent[2], extent[3])
    figure.suptitle(title if title is not None else _caption(frame))
    figure.supxlabel(NOT_A_MEDICAL_DEVICE, x=0.99, ha="right", size="xx-small", color="0.4")


def _beside(axes: Axes, panel_inch: float) -> Axes:
    """Add axes for a colour bar as high as the image, with a line of text above and below it."""
    return axes.inset_axes((1.0 + 0.15 / panel_inch, 0.08, 0.18 / panel_inch, 0.84))


def _draw_layer(
    figure: Figure,
    axes: Axes,
    bar_axes: Axes,
    frame: StrainFrame,
    layer: Layer,
    limits: Limits | None,
) -> None:
    values = layer.values(frame)
    axes.set_title(layer.title(frame, values))
    image = axes.imshow(
        values.T,
        cmap=layer.colours,
        norm=layer.norm(limits or layer.limits(values.compressed())),
        extent=extent_mm(frame.grid),
        interpolation="nearest",
    )
    bar = figure.colorbar(image, cax=bar_axes, label=layer.label, extend="both")
    if layer.ticks:
        bar.set_ticks(layer.ticks, labels=[f"{tick:g}" for tick in layer.ticks])
        bar.minorticks_off()
    for text, height, edge in zip(layer.ends, (1.06, -0.06), ("bottom", "top"), strict=True):
        bar_axes.text(0.5, height, text, transform=bar_axes.transAxes, ha="center", va=edge)


def extent_mm(grid: Grid) -> tuple[float, float, float, float]:
    """Return the edges of the image for imshow: left, right, bottom, top; half a pixel beyond the centres."""
    half_width = 0.5e3 * grid.n_lines * grid.line_pitch_m
    top = 1e3 * (grid.start_depth_m - 0.5 * grid.axial_step_m)
    return -half_width, half_width, top + 1e3 * grid.n_depths * grid.axial_step_m, top


def _bmode_db(rf: RfFrame) -> NDArray[np.floating]:
    """Return the B-mode, 0 dB at the 99.9th percentile, so that one bright reflector does not darken it."""
    from rtelasto.cpu.quality import bmode_db

    brightness = bmode_db(rf.samples)
    return brightness - np.percentile(brightness, 99.9) if brightness.max() == 0.0 else brightness


def _caption(frame: StrainFrame) -> str:
    pre, post = frame.frame_ids
    parts = [f"frames {pre} → {post}"]
    if frame.engine:
        parts.append(f"engine {frame.engine}")
    if np.isfinite(frame.applied_strain):
        parts.append(f"{motion_word(frame)} {100.0 * frame.applied_strain:.2f} %")
    if frame.persistence is not None and frame.persistence.frames:
        state = frame.persistence
        pressed = "1 press" if state.presses == 1 else f"{state.presses} presses"
        parts.append(f"{state.frames} pairs of {pressed}")
        if state.age_s >= 0.2:
            parts.append(f"{state.age_s:.1f} s old")
    if np.isfinite(frame.quality):
        parts.append(f"median correlation {frame.quality:.2f}")
    return ", ".join(parts).replace("-", "−")
