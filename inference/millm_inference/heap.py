"""What the process keeps of memory that nothing uses any more, bounded: oneDNN's kernels and glibc's freed blocks.

oneDNN compiles a kernel for every shape of a product, and each length of a piece of a prompt is a shape. It keeps 1024
of them, torch's layer above it another 1024, together about 0.4 MiB a shape, and what they throw away leaves holes
between blocks that stay. After every length up to 512 was seen once, that is a gigabyte. Bounding one of the two
changes little.
"""

from __future__ import annotations

import ctypes
from collections.abc import MutableMapping

KERNELS = 64
"""The products of a pass have six shapes or so, shared by all layers; to compile one takes half a millisecond."""
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
OWN_MAPPING_BYTES = 1 << 20
"""Blocks from here on are mapped each by itself and go back to the system when they are freed. glibc's default rises
with what was freed, up to 32 MiB, and what lies between other blocks in a heap is seldom given back."""
M_MMAP_THRESHOLD = -3


def bound_heap(environment: MutableMapping[str, str]) -> None:
    """The process's own environment, before torch is imported: it reads the variables once. Whoever has set them, or
    glibc's, has the last word."""
    for name in CACHES:
        environment.setdefault(name, str(KERNELS))
    if "MALLOC_MMAP_THRESHOLD_" not in environment:
        _map_large_blocks()


def _map_large_blocks() -> None:
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, OWN_MAPPING_BYTES)
    except AttributeError:
        return  # another C library, which has no such setting
