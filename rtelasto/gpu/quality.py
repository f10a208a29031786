"""The total motion, the quality map and the means at nodes on the device."""

from __future__ import annotations

from rtelasto.gpu.layout import Layout
from rtelasto.gpu.protocols import Launch
from rtelasto.gpu.source import SCALE_CHUNK


def enqueue_quality(launch: Launch, layout: Layout) -> None:
    """Write total motion, the quality map, medians and means at nodes to the output buffer.

    It reads what the network wrote, ``residual_samples`` and ``residual_strain`` at least, and the stretched
    pair. The certainty of the strain stays on the device.
    """
    sizes = layout.integers
    n_lines, n_rows = layout.rows.shape
    pixels = -(-n_lines * n_rows // SCALE_CHUNK)
    launch("compose", (pixels,), threads=256)
    launch("agreement", (-(-n_rows // sizes["row_chunk"]), n_lines), threads=256)
    launch("correlation", (pixels,), threads=256)
    launch("gaps", (pixels,), threads=256)
    launch("settle", (pixels,), threads=256)
    launch("follow", (pixels,), threads=256)
    if "strain_std" in layout.more_outputs:
        launch("certainty", (pixels,), threads=256)
    launch("medians", (2,), threads=512)
    launch("node_means", (sizes["n_node_rows"], sizes["n_node_lines"]), threads=128)
