"""Sockets: what receives, publishes and sends messages, and who may connect."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.transport.keys import KeyFolder as KeyFolder
    from rtelasto.transport.receivers import Receiver as Receiver
    from rtelasto.transport.receivers import StrainReceiver as StrainReceiver
    from rtelasto.transport.rf_sender import RfSender as RfSender
    from rtelasto.transport.strain_publisher import StrainPublisher as StrainPublisher

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "keys": ("KeyFolder",),
        "receivers": (
            "Receiver",
            "StrainReceiver",
        ),
        "rf_sender": ("RfSender",),
        "strain_publisher": ("StrainPublisher",),
    },
)
