"""Recordings on disk, read frame by frame.

`open_recording` reads HDF5 (zea's layout or plain), MetaImage, MATLAB and NumPy files
(docs/formats.md).
"""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.sources.opening import open_recording as open_recording
    from rtelasto.sources.recording import Recording as Recording
    from rtelasto.sources.strain_file import StrainFile as StrainFile

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "opening": ("open_recording",),
        "recording": ("Recording",),
        "strain_file": ("StrainFile",),
    },
)
