"""Live ultrasound strain imaging: RF frames in, axial strain out.

>>> frame = rtelasto.estimate(pre, post, rtelasto.RfFormat(...), engine="ncc")  # doctest: +SKIP
"""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.accuracy.region_measures import Region as Region
    from rtelasto.accuracy.region_measures import measure_regions as measure_regions
    from rtelasto.api import estimate as estimate
    from rtelasto.api import stream as stream
    from rtelasto.errors import MissingExtraError as MissingExtraError
    from rtelasto.errors import RtelastoError as RtelastoError
    from rtelasto.frames.channel import ChannelFormat as ChannelFormat
    from rtelasto.frames.channel import ChannelFrame as ChannelFrame
    from rtelasto.frames.channel import FocusedBeam as FocusedBeam
    from rtelasto.frames.channel import PlaneWave as PlaneWave
    from rtelasto.frames.iq import IqFormat as IqFormat
    from rtelasto.frames.iq import IqFrame as IqFrame
    from rtelasto.frames.rf import FramePair as FramePair
    from rtelasto.frames.rf import Grid as Grid
    from rtelasto.frames.rf import RfFormat as RfFormat
    from rtelasto.frames.rf import RfFrame as RfFrame
    from rtelasto.frames.stamp import FrameStamp as FrameStamp
    from rtelasto.frames.strain import Elongation as Elongation
    from rtelasto.frames.strain import StrainFrame as StrainFrame
    from rtelasto.offline.process import process_recording as process_recording
    from rtelasto.outputs.recorder import Recorder as Recorder
    from rtelasto.outputs.recorder import RecordSettings as RecordSettings
    from rtelasto.pipeline.pair_policy import PairPolicy as PairPolicy
    from rtelasto.pipeline.pipeline import Pipeline as Pipeline
    from rtelasto.settings import EstimateSettings as EstimateSettings
    from rtelasto.settings import RunSettings as RunSettings
    from rtelasto.sinks.hdf5 import RecordingWriter as RecordingWriter
    from rtelasto.sinks.strain_writer import StrainWriter as StrainWriter
    from rtelasto.sources.opening import open_recording as open_recording
    from rtelasto.sources.recording import Recording as Recording
    from rtelasto.sources.strain_file import StrainFile as StrainFile
    from rtelasto.transport.receivers import Receiver as Receiver
    from rtelasto.transport.receivers import StrainReceiver as StrainReceiver
    from rtelasto.transport.rf_sender import RfSender as RfSender
    from rtelasto.transport.strain_publisher import StrainPublisher as StrainPublisher
    from rtelasto.wire.rf import RfMessage as RfMessage
    from rtelasto.wire.strain import Status as Status
    from rtelasto.wire.strain import StrainMessage as StrainMessage

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "accuracy.region_measures": (
            "Region",
            "measure_regions",
        ),
        "api": (
            "estimate",
            "stream",
        ),
        "errors": (
            "MissingExtraError",
            "RtelastoError",
        ),
        "frames.channel": (
            "ChannelFormat",
            "ChannelFrame",
            "FocusedBeam",
            "PlaneWave",
        ),
        "frames.iq": (
            "IqFormat",
            "IqFrame",
        ),
        "frames.rf": (
            "FramePair",
            "Grid",
            "RfFormat",
            "RfFrame",
        ),
        "frames.stamp": ("FrameStamp",),
        "frames.strain": (
            "Elongation",
            "StrainFrame",
        ),
        "offline.process": ("process_recording",),
        "outputs.recorder": (
            "RecordSettings",
            "Recorder",
        ),
        "pipeline.pair_policy": ("PairPolicy",),
        "pipeline.pipeline": ("Pipeline",),
        "settings": (
            "EstimateSettings",
            "RunSettings",
        ),
        "sinks.hdf5": ("RecordingWriter",),
        "sinks.strain_writer": ("StrainWriter",),
        "sources.opening": ("open_recording",),
        "sources.recording": ("Recording",),
        "sources.strain_file": ("StrainFile",),
        "transport.receivers": (
            "Receiver",
            "StrainReceiver",
        ),
        "transport.rf_sender": ("RfSender",),
        "transport.strain_publisher": ("StrainPublisher",),
        "wire.rf": ("RfMessage",),
        "wire.strain": (
            "Status",
            "StrainMessage",
        ),
    },
)
