"""Starts workers on this machine, or joins those of a scheduler."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil

from rtelasto.errors import MissingExtraError, RtelastoError, first_line
from rtelasto.host.signal_mask import kept_from_children
from rtelasto.host.threads import available_cores

if TYPE_CHECKING:
    from distributed import Client, Nanny

WORKER_MIB = 1024
"""Memory that a worker of our own has at least: a quarter may be the ring of recent frames."""
# Dask looks at what its workers do every 10 ms, and at whether its loops go on every 20 ms. With all cores
# busy that takes a tenth of the time.
_FEWER_LOOKS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "500 ms",
}
# Time to find the scheduler.
_TIMEOUT_S = 20.0


def local_workers(workers: int | None, memory_mib: int | None, n_gpus: int = 0) -> tuple[int, int]:
    """Return how many workers to start on this machine, and the memory of each in MiB.

    The default is a worker on each core, so that none waits for another, or one for each GPU that is used, as
    long as each has `WORKER_MIB`.

    Raises
    ------
    RtelastoError
        If there is not enough memory for that many workers.
    """
    if workers is not None and workers < 1:
        raise RtelastoError(f"--workers must be at least 1, got {workers}")
    total_mib = int(memory_mib or psutil.virtual_memory().available // 2**20)
    most = total_mib // WORKER_MIB
    if most < (workers or 1):
        raise RtelastoError(
            f"--memory-mib: {total_mib} MiB are too little for {workers or 1} workers, "
            f"each needs {WORKER_MIB} MiB"
        )
    n = workers or min(n_gpus or available_cores(), most)
    return n, total_mib // n


@contextmanager
def connect(
    scheduler: str | None,
    *,
    workers: int | None = None,
    memory_mib: int | None = None,
    gpus: Sequence[str] = (),
) -> Iterator[Client]:
    """Yield a client of a scheduler, or of workers on this machine that end with the block.

    With ``gpus``, as CUDA_VISIBLE_DEVICES names them, each worker on this machine sees one of them.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    RtelastoError
        If there is no scheduler at this address, or the workers cannot be started.
    """
    try:
        import dask.config
        import distributed
    except ImportError:
        raise MissingExtraError("processing several recordings", "archive") from None
    # Otherwise every connection is a line of the log.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    if scheduler is not None:
        try:
            client = distributed.Client(scheduler, timeout=_TIMEOUT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise RtelastoError(
                f"--scheduler {scheduler}: no Dask scheduler there ({first_line(error)})"
            ) from error
        with client:
            yield client
        return
    n, each_mib = local_workers(workers, memory_mib, len(gpus))
    # Workers are ended by this process, which then removes what they had begun.
    with kept_from_children(), dask.config.set(_FEWER_LOOKS):
        cluster = distributed.LocalCluster(
            n_workers=n,
            worker_class=_with_a_gpu(gpus) if gpus else None,
            threads_per_worker=1,
            memory_limit=each_mib * 2**20,
            dashboard_address="127.0.0.1:0",
            # A recording that fails is listed with its reason.
            silence_logs=logging.CRITICAL,
        )
    with cluster, distributed.Client(cluster) as client:
        yield client


def _with_a_gpu(gpus: Sequence[str]) -> type[Nanny]:
    """Return the class that starts worker k, and starts it again if it dies, on the k-th GPU."""
    from distributed import Nanny

    class GpuNanny(Nanny):
        def __init__(self, scheduler: str, **options: Any) -> None:
            env = {"CUDA_VISIBLE_DEVICES": gpus[options["name"] % len(gpus)]}
            super().__init__(scheduler, env=env, **options)

    return GpuNanny


def describe(client: Client) -> str:
    """Return the number of workers and where to watch them, in one line."""
    info: dict[str, Any] = client.scheduler_info(n_workers=-1)
    limits = [worker["memory_limit"] for worker in info["workers"].values()]
    memory = f" of {min(limits) / 2**30:.1f} GiB" if limits and min(limits) else ""
    return f"workers: {len(limits)}{memory}, watch them on {client.dashboard_link}"
