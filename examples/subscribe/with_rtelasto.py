"""Print the strain frames of a running `rtelasto run`, with rtelasto's public names.

python examples/subscribe/with_rtelasto.py [ENDPOINT]
"""

import sys

from rtelasto import StrainReceiver

endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556"
with StrainReceiver(endpoint) as receiver:
    for message in receiver:
        frame = message.frame
        pre, post = frame.frame_ids
        n_lines, n_depths = frame.axial_strain.shape
        print(
            f"frames {pre} and {post}: {n_lines} x {n_depths} pixels, "
            f"applied strain {100 * frame.applied_strain:.2f} %, quality {frame.quality:.2f}",
            flush=True,
        )
