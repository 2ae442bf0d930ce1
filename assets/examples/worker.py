"""Opens a file, locks it, works a second, closes it; again and again. Ten of these are the scene that flockmon shows.

    LOCKFILE=/tmp/jobs.lock python3 worker.py
"""

import fcntl
import os
import time

LOCKFILE = os.environ.get("LOCKFILE", "/tmp/jobs.lock")

while True:
    began = time.monotonic()
    with open(LOCKFILE, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        print(f"waited {time.monotonic() - began:.3f} seconds", flush=True)
        time.sleep(1)
