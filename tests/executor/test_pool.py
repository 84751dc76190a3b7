"""The worker pool: threads on demand, never more than its size."""

from __future__ import annotations

import threading

from mistral_lite.pool import WorkerPool


def test_items_run_side_by_side_up_to_the_size():
    together = threading.Barrier(3)
    done = threading.Semaphore(0)

    def work(item):
        together.wait(120)
        done.release()

    pool = WorkerPool(3, work, "test")
    for item in range(9):
        pool.submit(item)
    for _ in range(9):
        assert done.acquire(timeout=120)
    assert len(pool._threads) == 3
    pool.stop()


def test_a_waiting_thread_is_used_again():
    names, ready = [], threading.Semaphore(0)

    def work(item):
        names.append(threading.current_thread().name)
        ready.release()

    pool = WorkerPool(5, work, "test")
    for item in range(20):
        pool.submit(item)
        assert ready.acquire(timeout=120)
    # A thread counts as waiting a moment after its work is done, so a second one may have been started.
    assert len(set(names)) < 20
    assert all(name.startswith("test-") for name in names)
    pool.stop()


def test_stop_ends_the_threads():
    begun, free = threading.Event(), threading.Event()

    def work(item):
        begun.set()
        free.wait(120)

    pool = WorkerPool(2, work, "ending")
    pool.submit(1)
    assert begun.wait(120)
    pool.stop()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ending-")] == [
        "ending-1"
    ]
    free.set()
    pool.stop(120)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ending-")]
