"""How much memory is free, and whether an error means that it ran out: PyTorch says it in many ways."""

from __future__ import annotations

from pathlib import Path

import torch

# Said by allocators of processors (two ways), of any card, of Apple's for one tensor too large, and Intel's drivers.
_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "Invalid buffer size", "OUT_OF_DEVICE_MEMORY")
_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at a time may succeed where this error was raised."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def free_memory(device: torch.device | str = "cpu") -> int | None:
    """Bytes that can still be taken on a device, within a container's limit; None where the system does not say."""
    device = torch.device(device)
    if device.type == "cuda":
        # What PyTorch keeps of the memory of earlier work is taken first.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type not in ("cpu", "mps"):  # what MPS works in is the system's memory
        return None
    if not _MEMINFO.is_file():
        return _told_by_psutil()
    about = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
    free = int(about["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in about else None
    limit = _limited()
    return min(free, limit) if free is not None and limit is not None else free


def _told_by_psutil() -> int | None:
    """What systems other than Linux have left, if the package is there; ComfyUI brings it."""
    try:
        import psutil  # type: ignore[import-untyped]
    except ImportError:
        return None
    return int(psutil.virtual_memory().available)


def _limited() -> int | None:
    """What is left of a container's own limit (control groups, version 2), or None without one."""
    try:
        most, used = ((_GROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # What was read from files stays until somebody needs the room.
        about = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())
        return None if most == "max" else max(0, int(most) - int(used) + int(about.get("inactive_file", 0)))
    except (OSError, ValueError):
        return None
