"""None"""

from rtelasto.lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rtelasto.cpu.beamform import Beamformer as Beamformer
    from rtelasto.cpu.beamforming.beamform_settings import BeamformSettings as BeamformSettings
    from rtelasto.cpu.bmode import bmode_on_grid as bmode_on_grid
    from rtelasto.cpu.engine import OnnxEngine as OnnxEngine
    from rtelasto.cpu.estimator import CpuEstimator as CpuEstimator
    from rtelasto.cpu.stretch import Stretch as Stretch

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "beamform": ("Beamformer",),
        "beamforming.beamform_settings": ("BeamformSettings",),
        "bmode": ("bmode_on_grid",),
        "engine": ("OnnxEngine",),
        "estimator": ("CpuEstimator",),
        "stretch": ("Stretch",),
    },
)
