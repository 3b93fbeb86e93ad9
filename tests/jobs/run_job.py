"""A job with the fake encoder as a process of its own, so that tests can kill it: run_job.py KIND OUT INPUT…"""

import resource
import runpy
import signal
import sys
import time
from pathlib import Path

from vitrail.jobs import encoding
from vitrail.jobs.embed_job import embed_job
from vitrail.jobs.encoding import EmbedOptions

FakeEncoder = runpy.run_path(str(Path(__file__).with_name("fake_encoder.py")))["FakeEncoder"]


class SlowEncoder(FakeEncoder):
    def embed_detailed(self, texts, **options):
        time.sleep(0.02)
        return super().embed_detailed(texts, **options)


if __name__ == "__main__":
    kind, output, *inputs = sys.argv[1:]
    if kind != "memory":
        encoding.PART_ROWS = 10
    if kind == "small-disk":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    encoder = SlowEncoder() if kind == "slow" else FakeEncoder()
    print("begins", flush=True)
    print(embed_job(encoder, inputs, output, options=EmbedOptions()))
    print("peak memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
