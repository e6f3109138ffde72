"""One batch's sites: what each hooked place reads, adds and shows, and the functions its hooks run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from millm_inference.interpret.buffers import SiteBuffer
from millm_inference.interpret.hooks import Change
from millm_inference.interpret.monitor import Observation, Picks, WatchTable, observe, watch_tables
from millm_inference.interpret.passes import Pass, ScopeTable, scope_table
from millm_inference.interpret.places import Place
from millm_inference.interpret.plan import Watch
from millm_inference.interpret.steering import as_read, contribution, project, read
from millm_inference.interpret.tables import DirectionTable, Rows, SourceTable, direction_table, source_table


@dataclass(slots=True, eq=False)
class Site:
    place: Place
    module: nn.Module
    carrier: nn.Module | None
    buffer: SiteBuffer | None = None
    static: Tensor | None = None  # [rows, 1, d] in float32, a view of the buffer
    static_cast: Tensor | None = None  # the same in the model's dtype
    reads: list[SourceTable] = field(default_factory=list)
    writes: list[SourceTable] = field(default_factory=list)
    directions: DirectionTable | None = None
    watches: list[WatchTable] = field(default_factory=list)

    @property
    def steers(self) -> bool:
        return self.static is not None or bool(self.reads or self.writes) or self.directions is not None

    @property
    def only_adds(self) -> bool:
        return not (self.reads or self.writes or self.watches) and self.directions is None


@dataclass(frozen=True, slots=True, eq=False)
class BatchSites:
    """Everything a batch of these slots needs; kept until a slot of it opens or closes."""

    sites: list[Site]  # in the order the model passes them
    plans: Rows
    monitors: Sequence[Watch]
    prompt_length: Tensor
    scopes: ScopeTable | None
    condition_count: int

    @property
    def watches(self) -> Iterator[WatchTable]:
        return (table for site in self.sites for table in site.watches)


def build_sites(
    model: nn.Module,
    plans: Rows,
    monitors: Sequence[Watch],
    slot_lo: int,
    width: int,
    buffers: dict[Place, SiteBuffer],
    like: Tensor,
) -> BatchSites:
    conditions = max((len(plan.conditions) for plan in plans.values()), default=0)
    scope_count = max((len(plan.scopes) for plan in plans.values()), default=0)
    always = (scope_count, conditions)
    sites: dict[Place, Site] = {}

    def at(place: Place) -> Site:
        if place not in sites:
            carrier = model.get_submodule(place.carried_by) if place.carried_by else None
            sites[place] = Site(place, model.get_submodule(place.module), carrier)
        return sites[place]

    for place in {place for plan in plans.values() for place in plan.adds}:
        site = at(place)
        site.buffer = buffers[place]
        site.static, site.static_cast = site.buffer.rows(slot_lo, width)
    sources = [s for p in plans.values() for s in (*(o.source for o in p.ops), *(c.source for c in p.conditions))]
    for source in dict.fromkeys(sources):
        table = source_table(source, plans, width, like, always)
        if table.reads:
            at(source.read).reads.append(table)
        if table.ops:
            at(source.write).writes.append(table)
    for place in {op.source.write for plan in plans.values() for op in plan.directions}:
        at(place).directions = direction_table(place, plans, width, like, always)
    for watch in watch_tables(plans, monitors, width, like.device):
        at(watch.place).watches.append(watch)
    lengths = [plans[row].prompt_length if row in plans else 0 for row in range(width)]
    return BatchSites(
        sites=sorted(sites.values(), key=lambda site: site.place.order),
        plans=plans,
        monitors=monitors,
        prompt_length=torch.tensor(lengths, device=like.device),
        scopes=scope_table(plans, width, like.device),
        condition_count=conditions,
    )


def change_at(site: Site, current: Pass, picks: dict[WatchTable, Picks], seen: list[Observation]) -> Change:
    """What the hook of `site` does in this pass."""
    watches = [table for table in site.watches if picks[table]]

    def change(hidden: Tensor) -> Tensor | None:
        current.fired.add(site.place)
        # OPT flattens rows and tokens inside its blocks.
        clean = hidden.view(*current.batch.positions.shape, -1) if hidden.ndim == 2 else hidden
        seen_as = as_read(site.place, site.module, clean)
        for table in site.reads:
            read(current, table, seen_as)
        seen.extend(observe(table, picks[table], seen_as) for table in watches if not table.after)
        steered = _steered(site, current, clean)
        seen.extend(
            observe(table, picks[table], seen_as if steered is None else steered) for table in watches if table.after
        )
        if steered is None:
            return None
        if site.carrier is not None:
            current.moved[site.place] = steered - clean
        return steered.view(hidden.shape)

    return change


def carry_at(site: Site, current: Pass) -> Change:
    """What was added before the norm, added to the residual stream that went past it."""

    def change(hidden: Tensor) -> Tensor | None:
        moved = current.moved.pop(site.place, None)
        return None if moved is None else hidden + moved

    return change


def _steered(site: Site, current: Pass, clean: Tensor) -> Tensor | None:
    if site.writes:
        steered = clean + _summed(site, current, clean).to(clean.dtype)
    elif site.static_cast is not None:
        added = site.static_cast if current.mask is None else site.static_cast * current.mask
        steered = clean + added.to(clean.dtype)
    elif site.directions is not None:
        steered = clean
    else:
        return None
    return steered if site.directions is None else project(current, site.directions, steered)


def _summed(site: Site, current: Pass, clean: Tensor) -> Tensor:
    """Everything additive, in float32: the slots' own vectors and what the ops of this pass come to."""
    rows, width = clean.shape[:2]
    parts = [(table, contribution(current, table, clean)) for table in site.writes]
    if site.static is None and len(parts) == 1 and parts[0][0].rows is None:
        return parts[0][1]
    if site.static is not None:
        total = (site.static.expand(-1, width, -1) * (1 if current.mask is None else current.mask)).clone()
    else:
        total = parts[0][1].new_zeros(rows, width, clean.shape[-1])
    for table, part in parts:
        total = total + part if table.rows is None else total.index_add(0, table.rows, part)
    return total
