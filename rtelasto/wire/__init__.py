"""The wire format: messages to and from bytes (docs/wire.md)."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.wire.message import WireFault as WireFault
    from rtelasto.wire.rf import RfMessage as RfMessage
    from rtelasto.wire.rf import decode_rf as decode_rf
    from rtelasto.wire.rf import encode_rf as encode_rf
    from rtelasto.wire.rf import wire_samples as wire_samples
    from rtelasto.wire.strain import Status as Status
    from rtelasto.wire.strain import StrainMessage as StrainMessage
    from rtelasto.wire.strain import decode_status as decode_status
    from rtelasto.wire.strain import decode_strain as decode_strain
    from rtelasto.wire.strain import encode_status as encode_status
    from rtelasto.wire.strain import encode_strain as encode_strain

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "message": ("WireFault",),
        "rf": (
            "RfMessage",
            "decode_rf",
            "encode_rf",
            "wire_samples",
        ),
        "strain": (
            "Status",
            "StrainMessage",
            "decode_status",
            "decode_strain",
            "encode_status",
            "encode_strain",
        ),
    },
)
