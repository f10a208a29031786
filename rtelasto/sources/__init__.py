"""Where frames come from: recordings on disk.

`open_recording` reads HDF5 (zea's layout or plain), MetaImage, MATLAB and NumPy files
(docs/formats.md).
"""

from rtelasto.sources.opening import open_recording
from rtelasto.sources.recording import Recording

__all__ = ["Recording", "open_recording"]
