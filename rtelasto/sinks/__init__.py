"""Writes results: HDF5 files in zea's layout, and pictures."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.sinks.hdf5 import RecordingWriter as RecordingWriter
    from rtelasto.sinks.picture import save_picture as save_picture
    from rtelasto.sinks.strain_writer import StrainWriter as StrainWriter
    from rtelasto.sinks.video import save_video as save_video

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "hdf5": ("RecordingWriter",),
        "picture": ("save_picture",),
        "strain_writer": ("StrainWriter",),
        "video": ("save_video",),
    },
)
