"""The stages that turn frames into pairs and pairs into strain, and their composition."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.pipeline.devices import open_estimator as open_estimator
    from rtelasto.pipeline.engines import engine_names as engine_names
    from rtelasto.pipeline.engines import open_engine as open_engine
    from rtelasto.pipeline.pair_policy import PairPolicy as PairPolicy
    from rtelasto.pipeline.pairing import Pairing as Pairing
    from rtelasto.pipeline.persistence import Persistence as Persistence
    from rtelasto.pipeline.pipeline import Pipeline as Pipeline
    from rtelasto.pipeline.to_rf_lines import RfLines as RfLines

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "devices": ("open_estimator",),
        "engines": (
            "engine_names",
            "open_engine",
        ),
        "pair_policy": ("PairPolicy",),
        "pairing": ("Pairing",),
        "persistence": ("Persistence",),
        "pipeline": ("Pipeline",),
        "to_rf_lines": ("RfLines",),
    },
)
