"""A live run: its process, its supervisor and the parts beside it."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.live.closing_report import LiveReport as LiveReport
    from rtelasto.live.run import LiveRun as LiveRun
    from rtelasto.live.supervisor import Supervisor as Supervisor

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "closing_report": ("LiveReport",),
        "run": ("LiveRun",),
        "supervisor": ("Supervisor",),
    },
)
