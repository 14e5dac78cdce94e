"""The loopback Hub as a process of its own: ``python -m helpers.fake_hub ROOT`` prints its address and serves."""

import argparse
import signal
from pathlib import Path

from helpers.fake_hub.server import LoopbackHub

parser = argparse.ArgumentParser(prog="fake_hub", description=__doc__)
parser.add_argument("root", type=Path, help="the folder of the repositories")
parser.add_argument("--port", type=int, default=0, help="0: any that is free")
arguments = parser.parse_args()
ends = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, ends)
with LoopbackHub(arguments.root, arguments.port) as hub:
    print(hub.endpoint, flush=True)
    signal.sigwait(ends)
