"""How the threads of numerical libraries share a machine with other work; said before such a library is loaded, since it looks once."""

import os


def share_cores() -> None:
    """Have OpenMP's threads sleep while they wait, unless the environment says how they are to wait.

    By default they spin, so that a process with a thread per core takes the time that its own late thread needs as soon as anything else
    runs on the machine: beside one busy process, an epoch of `CompactCNN` on two cores then takes ten times as long
    (``benchmarks/bench_threads.py``). Asleep, they cost a few microseconds for each operation that is parted. The setting is the process's,
    and its children's.
    """
    if not {"OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
