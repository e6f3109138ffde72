"""One pass over one batch: which sites it hooks, which tokens it reads, and what came of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from millm_inference.engine.interpreter import BatchShape, ForwardBatch, ForwardTrace, Reading
from millm_inference.interpret.hooks import installed
from millm_inference.interpret.monitor import Observation, Picks, WatchTable, collect
from millm_inference.interpret.passes import Pass
from millm_inference.interpret.sites import BatchSites, Site, carry_at, change_at


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What one pass did; asked after it."""

    shape: BatchShape
    steering_rows: Sequence[int]
    observations: Sequence[Observation]

    def readings(self) -> list[Reading]:
        return collect(self.observations, self.shape)

    @property
    def steered(self) -> dict[int, int]:
        counts = {row: sum(self.shape.valid[row]) for row in self.steering_rows}
        return {self.shape.slot_lo + row: count for row, count in counts.items() if count}


@dataclass(frozen=True, slots=True, eq=False)
class SitedPass:
    """The engine's `PreparedPass`. `memory [rows, conditions + 2]` is what conditions remember of these slots."""

    shape: BatchShape
    sites: BatchSites
    needed: Sequence[Site]
    picks: dict[WatchTable, Picks]
    memory: Tensor

    @property
    def key(self) -> Hashable:
        """Where sites only add, the slots' buffers, which outlive requests; else the tables made for this batch."""
        if all(site.only_adds for site in self.needed):
            return self.shape.all_valid, tuple((site.place, site.buffer) for site in self.needed)
        return self.shape.all_valid, self.sites, tuple(picks.pairs for picks in self.picks.values())

    @contextmanager
    def hooked(self, batch: ForwardBatch) -> Iterator[Trace]:
        sites = self.sites
        mask = None if self.shape.all_valid else batch.valid.unsqueeze(-1)
        current = Pass(batch, sites.prompt_length, sites.scopes, sites.condition_count, self.memory, mask)
        seen: list[Observation] = []
        with installed(self._hooks(current, seen)):
            yield Trace(self.shape, self._steering_rows, seen)
        if missed := [site.place.module for site in self.needed if site.place not in current.fired]:
            raise RuntimeError(
                f"the model did not pass {missed[0]}, where a hook was waiting: nothing was steered there"
            )

    def replayed(self, recorded: ForwardTrace) -> Trace:
        assert isinstance(recorded, Trace)
        return replace(recorded, shape=self.shape, steering_rows=self._steering_rows)

    @property
    def _steering_rows(self) -> list[int]:
        return [row for row, plan in self.sites.plans.items() if plan.steers]

    def _hooks(self, current: Pass, seen: list[Observation]) -> Iterator[tuple[nn.Module, str, Any]]:
        """Carriers first: what a block's output lacks must be there before anything reads it."""
        for site in self.needed:
            if site.carrier is not None and site.steers:
                yield site.carrier, "output", carry_at(site, current)
        for site in self.needed:
            yield site.module, site.place.side, change_at(site, current, self.picks, seen)
