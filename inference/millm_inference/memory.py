"""How much memory there is for a model or an SAE, whether something fits, and what a failure of the device means."""

from __future__ import annotations

from typing import Literal

import psutil
import torch

from millm_inference.errors import SidecarError
from millm_inference.hub.room import human, memory_free

MEBIBYTE = 1 << 20
SPARE = 1.05
"""Beside the weights: buffers, and what loading needs for a moment."""

Outcome = Literal["out_of_memory", "device_lost", "failed"]


def outcome_of(error: BaseException) -> Outcome:
    """No memory with the device intact; a device that will never answer again; or any other failure."""
    text = str(error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return "out_of_memory"
    if "no kernel image" in text:  # built for other GPUs: another process would find the same
        return "failed"
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in text:
        return "device_lost"
    return "failed"


def free_bytes(device: torch.device, limit_mb: int = 0) -> int:
    """What the device has left, and no more than `limit_mb` leaves of it; 0: no limit of our own."""
    if device.type == "cuda":
        free, used = torch.cuda.mem_get_info(device)[0], torch.cuda.memory_allocated(device)
    else:
        free, used = memory_free(), psutil.Process().memory_info().rss
    return min(free, max(0, limit_mb * MEBIBYTE - used)) if limit_mb else free


def require_room(what: str, needed: float, free: int, device: torch.device, advice: str) -> None:
    """Raises INSUFFICIENT_MEMORY with both numbers, before the machine ends the process for it."""
    needed = int(needed * SPARE)
    if needed <= free:
        return
    raise SidecarError(
        "INSUFFICIENT_MEMORY",
        f"{what} needs about {human(needed)}, and {human(free)} are free on {device}. {advice}",
        needed_bytes=needed,
        free_bytes=free,
    )
