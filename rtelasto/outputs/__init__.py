"""Outputs of a live run beside the strain stream: viewer, recorder, OpenIGTLink."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.outputs.openigtlink import IgtlServer as IgtlServer
    from rtelasto.outputs.openigtlink import IgtlSettings as IgtlSettings
    from rtelasto.outputs.recorder import Recorder as Recorder
    from rtelasto.outputs.recorder import RecordSettings as RecordSettings
    from rtelasto.outputs.viewer import ViewSettings as ViewSettings
    from rtelasto.outputs.viewer import open_viewer as open_viewer

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "openigtlink": (
            "IgtlServer",
            "IgtlSettings",
        ),
        "recorder": (
            "RecordSettings",
            "Recorder",
        ),
        "viewer": (
            "ViewSettings",
            "open_viewer",
        ),
    },
)
