"""Peak memory of decoding a latent into a video file, against its duration: every row is a process of its own.

python benchmarks/streaming.py --frames 17 65 257 1025 --size 128
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEGA = 2**20


def work(num_frames: int, size: int, chunk: int) -> None:
    """Decode random latents into a file, and print the peak memory before and after in bytes, and seconds."""
    import torch

    from sora_core.pipeline import Sora
    from sora_core.randomness import generator
    from sora_core.shapes import VideoShape
    from sora_core.video import VideoWriter

    sora, shape = Sora.load(), VideoShape(num_frames=num_frames, height=size, width=size, fps=24)
    latent = torch.randn(1, *sora.latent_shape(shape).dims, generator=generator(0, "streaming"))
    before, start = peak(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, VideoWriter(Path(folder) / "out.mp4", size, size, 24) as writer:
        for frames in sora.decode(latent, shape, chunk):
            writer.write(frames.permute(1, 2, 3, 0))
    print(before, peak(), latent.numel() * 4, time.perf_counter() - start)


def peak() -> int:
    """The most memory that this process ever held, in bytes; macOS counts in bytes, Linux in kibibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", nargs="+", type=int, default=[17, 65, 257, 1025])
    parser.add_argument("--size", type=int, default=128, help="pixels of each side")
    parser.add_argument("--chunk", type=int, default=4, help="latent frames decoded at a time")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.size, options.chunk)
        return
    print(f"decode and write at {options.size}x{options.size}, {options.chunk} latent frames at a time")
    print(f"{'frames':>7} {'peak MiB':>9} {'latent MiB':>11} {'growth MiB':>11} {'without latent':>15} {'seconds':>8}")
    first: tuple[int, int] | None = None
    for frames in options.frames:
        command = [sys.executable, __file__, "--work", str(frames), "--size", str(options.size)]
        done = subprocess.run(
            [*command, "--chunk", str(options.chunk)], check=True, capture_output=True, text=True
        )  # fmt: skip
        _, most, latent, seconds = (float(word) for word in done.stdout.split())
        first = first or (int(most), int(latent))
        growth, more = most - first[0], latent - first[1]
        print(
            f"{frames:7} {most / MEGA:9.1f} {latent / MEGA:11.2f} {growth / MEGA:11.2f} {(growth - more) / MEGA:15.2f}"
            f" {seconds:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
