"""The slot cache's memory: what growing keeps, and what it costs."""

import psutil
import pytest
import torch

from millm_inference.engine.kv_cache import SlotCache

HEADS, WIDTH = 4, 16


def fill(cache, slot, length, seed):
    values = torch.randn(1, HEADS, length, WIDTH, generator=torch.Generator().manual_seed(seed))
    cache.open_run(slot, 0, length, cache.capacity)
    for layer in cache.layers:
        layer.update(values, -values)
    return values[0]


def test_growing_keeps_what_each_slot_holds_and_nothing_else():
    cache = SlotCache(2)
    cache.resize(2, 64)
    first, second = fill(cache, 0, 40, 1), fill(cache, 1, 64, 2)
    cache.resize(4, 128, [40, 10, 0, 0])
    for layer in cache.layers:
        assert layer.keys.shape == (4, HEADS, 128, WIDTH)
        assert torch.equal(layer.keys[0, :, :40], first)
        assert torch.equal(layer.values[1, :, :10], -second[:, :10])
        assert not layer.keys[0, :, 40:].any()
        assert not layer.keys[1, :, 10:].any()


def test_shrinking_keeps_what_fits():
    cache = SlotCache(1)
    cache.resize(2, 128)
    kept = fill(cache, 0, 100, 3)
    fill(cache, 1, 100, 4)
    cache.resize(1, 64, [100, 100])
    assert torch.equal(cache.layers[0].keys[0], kept[:, :64])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_room_that_nobody_has_written_to_takes_no_memory(dtype):
    cache = SlotCache(1)
    cache.resize(2, 64)
    cache.open_run(0, 0, 8, 64)
    cache.layers[0].update(*[torch.ones(1, HEADS, 8, WIDTH, dtype=dtype)] * 2)
    before = psutil.Process().memory_info().rss
    cache.resize(16, 65_536, [8, 0])
    assert cache.reserved_bytes >= 128 << 20
    assert psutil.Process().memory_info().rss - before < 16 << 20
    assert cache.layers[0].keys[0, :, :8].all()
    assert not cache.layers[0].keys[15, :, -1].any()


def test_the_memory_that_it_says_it_takes_is_what_the_process_has_more():
    cache = SlotCache(1)
    cache.resize(1, 64)
    fill(cache, 0, 8, 5)
    cache.resize(8, 65_536, [8])
    before = psutil.Process().memory_info().rss - cache.memory_bytes
    fill(cache, 3, 40_000, 6)
    cache.copy(3, 5, 30_000)
    cache.touch(6, [19_999])  # as before a decode step
    cache.layers[0].keys[6, :, :20_000] = cache.layers[0].values[6, :, :20_000] = 1
    assert cache.memory_bytes == 2 * (8 + 90_000) * HEADS * WIDTH * 4
    assert abs(psutil.Process().memory_info().rss - cache.memory_bytes - before) < 8 << 20
    cache.resize(8, 1024, [8])
    assert cache.memory_bytes == 2 * 8 * HEADS * WIDTH * 4
    assert abs(psutil.Process().memory_info().rss - cache.memory_bytes - before) < 8 << 20
