"""How much a server restores: a bounded load run, and the same work in process."""

import threading
import time

import numpy as np


def measure(restore, clients, batch, seconds, requests):
    """Calls `restore` from several threads at once.

    Args:
      restore: called without arguments; one request.
      clients: threads that call it, each again as soon as it has its answer.
      batch: images that one call restores.
      seconds: no request but the first starts later than that.
      requests: nor more than so many, in all.
    Returns:
      dict of `requests`, `requests_per_second`, `images_per_second`, and the latencies `p50`,
      `p95` and `p99` in seconds. What the first failing call raises is raised.
    """
    lock = threading.Lock()
    latencies, failures, left = [], [], requests
    began = time.monotonic()

    def ask():
        nonlocal left
        while True:
            with lock:
                late = left < requests and time.monotonic() - began > seconds
                if left == 0 or failures or late:
                    return
                left -= 1
            start = time.monotonic()
            try:
                restore()
            except Exception as error:  # handed to the caller below
                failures.append(error)
                return
            latencies.append(time.monotonic() - start)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    if failures:
        raise failures[0]
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99])
    return {
        "requests": len(latencies),
        "requests_per_second": len(latencies) / took,
        "images_per_second": batch * len(latencies) / took,
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
    }
