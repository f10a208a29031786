"""The types that flow through the pipeline."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.frames.channel import ChannelFormat as ChannelFormat
    from rtelasto.frames.channel import ChannelFrame as ChannelFrame
    from rtelasto.frames.channel import FocusedBeam as FocusedBeam
    from rtelasto.frames.channel import PlaneWave as PlaneWave
    from rtelasto.frames.iq import IqFormat as IqFormat
    from rtelasto.frames.iq import IqFrame as IqFrame
    from rtelasto.frames.iq import scanner_frame as scanner_frame
    from rtelasto.frames.rf import FramePair as FramePair
    from rtelasto.frames.rf import Grid as Grid
    from rtelasto.frames.rf import RfFormat as RfFormat
    from rtelasto.frames.rf import RfFrame as RfFrame
    from rtelasto.frames.stamp import FrameStamp as FrameStamp
    from rtelasto.frames.strain import Elongation as Elongation
    from rtelasto.frames.strain import MeasuredMotion as MeasuredMotion
    from rtelasto.frames.strain import PersistenceState as PersistenceState
    from rtelasto.frames.strain import ResidualMotion as ResidualMotion
    from rtelasto.frames.strain import StrainEngine as StrainEngine
    from rtelasto.frames.strain import StrainFrame as StrainFrame
    from rtelasto.frames.strain import StretchedPair as StretchedPair

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "channel": (
            "ChannelFormat",
            "ChannelFrame",
            "FocusedBeam",
            "PlaneWave",
        ),
        "iq": (
            "IqFormat",
            "IqFrame",
            "scanner_frame",
        ),
        "rf": (
            "FramePair",
            "Grid",
            "RfFormat",
            "RfFrame",
        ),
        "stamp": ("FrameStamp",),
        "strain": (
            "Elongation",
            "MeasuredMotion",
            "PersistenceState",
            "ResidualMotion",
            "StrainEngine",
            "StrainFrame",
            "StretchedPair",
        ),
    },
)
