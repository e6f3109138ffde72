"""What NVML tells of a GPU beside its memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import structlog
import torch

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GpuReading:
    """Utilisation in percent and temperature in °C; None: this device does not tell."""

    percent: int | None = None
    temperature_c: int | None = None


def read_gpu(device: torch.device) -> GpuReading:
    """Nothing for a CPU, nor where NVML or its package is missing: not knowing must not stop what else is told."""
    if device.type != "cuda":
        return GpuReading()
    try:
        return GpuReading(torch.cuda.utilization(device), torch.cuda.temperature(device))
    except Exception as error:  # the package, the driver's library, a card or a container that lacks the counter
        _say_once(str(error).split("\n")[0])
        return GpuReading()


@cache
def _say_once(reason: str) -> None:
    log.warning("gpu:no-readings", reason=reason)
