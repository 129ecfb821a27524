"""Pools of threads that are all there from the start.

Python's own pools start a thread whenever all the others are busy at once, so that a service's threads (and the
memory the allocator keeps for each) go on growing for hours; and asyncio's default pool has as many as the board has
cores, and four. Here the number is written down, and what is used in the first minute is what is used for years.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

#: threads for what an event loop must not wait for itself: files, devices, models.
LOOP_HANDS = 4
#: seconds that starting a pool's threads may take.
_START = 30.0


def thread_pool(count: int, name: str) -> ThreadPoolExecutor:
    """A pool of exactly `count` running threads, named `name_0` and so on. The caller shuts it down.

    Raises RuntimeError where the threads cannot be started.
    """
    pool = ThreadPoolExecutor(count, name)
    # a thread is started when no other is idle: none is, until all of them stand here
    all_here = threading.Barrier(count)
    try:
        for done in [pool.submit(all_here.wait, _START) for _ in range(count)]:
            done.result()
    except (RuntimeError, threading.BrokenBarrierError) as error:
        all_here.abort()
        pool.shutdown(wait=False, cancel_futures=True)
        raise RuntimeError(f"{count} threads for {name!r} cannot be started") from error
    return pool
