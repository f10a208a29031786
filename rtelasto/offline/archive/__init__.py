"""Processes many recordings on many cores or machines, with Dask.

`recordings` finds them, `cluster` starts or joins workers, `run` hands out the tasks, `worker` is what runs
in a worker, and `summary` writes what was done. Outputs are plain files; nothing else is kept between runs.
"""
