"""Commands on whole recordings: process, replay, report, simulate."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.offline.html_report import write_report as write_report
    from rtelasto.offline.process import OfflineSummary as OfflineSummary
    from rtelasto.offline.process import process_recording as process_recording
    from rtelasto.offline.replay import Replayer as Replayer
    from rtelasto.offline.replay import ReplayReport as ReplayReport
    from rtelasto.offline.simulate import write_sequence as write_sequence

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "html_report": ("write_report",),
        "process": (
            "OfflineSummary",
            "process_recording",
        ),
        "replay": (
            "ReplayReport",
            "Replayer",
        ),
        "simulate": ("write_sequence",),
    },
)
