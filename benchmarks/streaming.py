"""Peak memory from a latent on disk to a video file, against its duration: every video has a process of its own.

python benchmarks/streaming.py --frames 17 65 257 1025 --size 128 --turns 5

The same video needs a few MiB more or less each time, so durations take turns and the table gives medians.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGA = 2**20


def make(num_frames: int, size: int, path: Path) -> None:
    """Put random latents on disk."""
    import torch

    from sora_core.pipeline import Sora
    from sora_core.randomness import generator
    from sora_core.shapes import VideoShape
    from sora_core.stored_latent import NAME
    from sora_core.tensor_files import save_tensors

    shape = Sora.load().latent_shape(VideoShape(num_frames=num_frames, height=size, width=size, fps=24))
    save_tensors({NAME: torch.randn(1, *shape.dims, generator=generator(0, "streaming"))}, path, {})


def work(num_frames: int, size: int, chunk: int | None, folder: Path) -> None:
    """Decode what `make` made into a file, and print the peak memory in bytes, and seconds."""
    from sora_core.pipeline import Sora
    from sora_core.shapes import VideoShape
    from sora_core.stored_latent import StoredLatent
    from sora_core.video import VideoWriter

    sora, shape = Sora.load(), VideoShape(num_frames=num_frames, height=size, width=size, fps=24)
    latent, start = StoredLatent(folder / "latent.safetensors"), time.perf_counter()
    with VideoWriter(folder / "out.mp4", size, size, 24) as writer:
        for frames in sora.decode(latent, shape, chunk):
            writer.write(frames.permute(1, 2, 3, 0))
    print(peak(), time.perf_counter() - start)


def peak() -> int:
    """The most memory that this process ever held, in bytes; macOS counts in bytes, Linux in kibibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", nargs="+", type=int, default=[17, 65, 257, 1025])
    parser.add_argument("--size", type=int, default=128, help="pixels of each side")
    parser.add_argument("--chunk", type=int, help="latent frames decoded at a time (default: as many as suit the size)")
    parser.add_argument("--turns", type=int, default=5, help="how often every duration is measured")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.frames) < 1:
        parser.error(f"--frames has {min(options.frames)}; every video has at least 1 frame")
    if options.make:
        make(options.make, options.size, options.folder / "latent.safetensors")
        return
    if options.work:
        work(options.work, options.size, options.chunk, options.folder)
        return
    rows: dict[int, list[tuple[float, float]]] = {frames: [] for frames in options.frames}
    for _ in range(options.turns):
        for frames, runs in rows.items():
            runs.append(row(frames, options))
    print(
        f"decode and write at {options.size} pixels square, medians of {options.turns}; growth is against the first row"
    )
    print(f"{'frames':>7} {'peak MiB':>9} {'least':>7} {'most':>7} {'growth MiB':>11} {'seconds':>8}")
    first = None
    for frames, runs in rows.items():
        peaks, seconds = zip(*runs, strict=True)
        most = statistics.median(peaks)
        first = first or most
        ends = f"{min(peaks) / MEGA:7.1f} {max(peaks) / MEGA:7.1f}"
        print(f"{frames:7} {most / MEGA:9.1f} {ends} {(most - first) / MEGA:11.2f} {statistics.median(seconds):8.1f}")


def row(frames: int, options: argparse.Namespace) -> tuple[float, float]:
    """Peak bytes and seconds for one duration; what makes the latent is not measured, so it has its own process."""
    command = [sys.executable, __file__, "--size", str(options.size)]
    command += ["--chunk", str(options.chunk)] if options.chunk else []
    with tempfile.TemporaryDirectory() as folder:
        for task in ("--make", "--work"):
            done = subprocess.run(
                [*command, "--folder", folder, task, str(frames)], check=True, capture_output=True, text=True
            )
    most, seconds = (float(word) for word in done.stdout.split())
    return most, seconds


if __name__ == "__main__":
    main()
