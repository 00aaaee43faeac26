"""How much later does ComfyUI start because of the pack? CPU time of its import, and as a share of ComfyUI's own.

python benchmarks/startup.py --turns 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

from in_comfyui import ROOT, comfyui

from sora_core.headless.comfyui import extra_python_path

LIMIT_MS = 300
PROBE = ROOT / "tests" / "nodes" / "import_probe.py"


def imported() -> dict[str, float]:
    """CPU seconds of ComfyUI's own imports and of the pack's in a fresh process, the pack's compiled from source."""
    with tempfile.TemporaryDirectory() as base:
        command = [sys.executable, PROBE, ROOT, base, comfyui(), *extra_python_path()]
        done = subprocess.run([str(part) for part in command], cwd=base, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    turns = [imported() for _ in range(parser.parse_args().turns)]
    own = statistics.median(turn["seconds"] for turn in turns)
    share = statistics.median(turn["seconds"] / turn["before"] for turn in turns)
    print(f"the pack: {own * 1000:.0f} ms of CPU time, {share:.1%} of ComfyUI's own imports (median of {len(turns)})")
    if own * 1000 > LIMIT_MS:
        print(f"MISSED at most {LIMIT_MS} ms")
    return int(own * 1000 > LIMIT_MS)


if __name__ == "__main__":
    sys.exit(main())
