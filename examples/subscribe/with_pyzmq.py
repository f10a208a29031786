"""The same without rtelasto: pyzmq, msgpack and numpy on the messages of docs/wire.md.

python examples/subscribe/with_pyzmq.py [ENDPOINT]
"""

import sys

import msgpack
import numpy as np
import zmq

endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556"
socket = zmq.Context().socket(zmq.SUB)
# A slow subscriber should miss frames, not show old ones.
socket.set_hwm(2)
socket.subscribe("strain")
socket.connect(endpoint)
while True:
    topic, packed, *buffers = socket.recv_multipart()
    header = msgpack.unpackb(packed)
    # ZeroMQ compares prefixes only, and another major version has another meaning.
    if topic != b"strain" or header["schema"].split(".")[0] != "rtelasto/1":
        continue
    arrays = {
        described["name"]: np.frombuffer(buffer, described["dtype"]).reshape(described["shape"])
        for described, buffer in zip(header["arrays"], buffers, strict=True)
    }
    pre, post = header["frame_ids"]
    n_lines, n_depths = arrays["axial_strain"].shape
    # What is not known is nil.
    applied, quality = (
        float("nan") if header[key] is None else header[key]
        for key in ("applied_strain", "quality")
    )
    print(
        f"frames {pre} and {post}: {n_lines} x {n_depths} pixels, "
        f"applied strain {100 * applied:.2f} %, quality {quality:.2f}",
        flush=True,
    )
