"""Accuracy of the engines on simulated tissue whose motion is known: ``rtelasto bench accuracy``."""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.accuracy.metrics import bias_percent as bias_percent
    from rtelasto.accuracy.metrics import displacement_snr_db as displacement_snr_db
    from rtelasto.accuracy.metrics import edge_width as edge_width
    from rtelasto.accuracy.metrics import rmse as rmse
    from rtelasto.accuracy.metrics import strain_cnr_db as strain_cnr_db
    from rtelasto.accuracy.metrics import strain_snr_db as strain_snr_db
    from rtelasto.accuracy.region_measures import Region as Region
    from rtelasto.accuracy.region_measures import RegionMeasures as RegionMeasures
    from rtelasto.accuracy.region_measures import measure_regions as measure_regions

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "metrics": (
            "bias_percent",
            "displacement_snr_db",
            "edge_width",
            "rmse",
            "strain_cnr_db",
            "strain_snr_db",
        ),
        "region_measures": (
            "Region",
            "RegionMeasures",
            "measure_regions",
        ),
    },
)
