"""Named moments at which a test can have the process killed, to show that a job survives it.

`VITRAIL_TEST_KILL=in-part:2` kills this process (SIGKILL, nothing is cleaned up) the second time it comes by that
point. Without the variable, always outside tests, nothing happens.

    in-part       a part is written under its temporary name, not yet renamed
    after-part    a part has its final name
    after-merge   the output is whole, but still inside OUT.partial
    after-rename  the output stands in its place, OUT.partial is still there
"""

import os
import signal
from collections import Counter

VARIABLE = "VITRAIL_TEST_KILL"
passed: Counter[str] = Counter()


def kill_point(name: str) -> None:
    wanted, _, time = os.environ.get(VARIABLE, "").partition(":")
    if wanted == name:
        passed[name] += 1
        if passed[name] == int(time or 1):
            os.kill(os.getpid(), signal.SIGKILL)
