"""Processes many recordings on many cores or machines, with Dask.

`recordings` finds them, `cluster` starts or joins workers, `run` hands out the tasks, `worker` is what runs
in a worker, `parts` splits a long recording, whose parts keep their `estimates` in files until it is joined,
and `summary` writes what was done. Outputs are plain files; nothing else is kept once they are there.
"""
