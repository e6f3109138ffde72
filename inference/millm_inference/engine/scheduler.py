"""Who runs next and in which slot: FIFO admission, prefix reuse, preemption. Ids and lengths only, no tensors.

Memory is a rectangle: `rows × capacity` positions of KV, bounded by `budget` positions. A sequence is admitted when the
rectangle with its row fits; running sequences that outgrow it send the newest one back to the queue.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from millm_inference.engine.sequence import Request, Sequence, State
from millm_inference.errors import SidecarError

BUCKET = 64
MIN_REUSE = 16
"""A shorter common prefix is not worth a copy."""


def bucket(length: int) -> int:
    """Lengths are rounded up so shapes repeat: to 64 below 1024, to 256 above."""
    step = BUCKET if length <= 1024 else 4 * BUCKET
    return max(BUCKET, -(-length // step) * step)


@dataclass(slots=True)
class Slot:
    """`tokens` whose keys and values are in the slot, and the salt they were computed under."""

    owner: Sequence | None = None
    tokens: list[int] = field(default_factory=list)
    salt: str = ""

    @property
    def held(self) -> int:
        """How many positions are computed: of what runs in it, or of the prefix it retains."""
        return len(self.tokens) if self.owner is None else self.owner.computed


@dataclass(frozen=True, slots=True)
class Admission:
    """Start `sequence` in `slot`: the first `reuse` positions are there already, or are copied from `source`."""

    sequence: Sequence
    slot: int
    source: int | None
    reuse: int


class Scheduler:
    def __init__(self, *, slots: int, budget: int, max_waiting: int) -> None:
        self.slots = [Slot() for _ in range(slots)]
        self.budget = budget
        self.max_waiting = max_waiting
        self.waiting: deque[Sequence] = deque()
        self.rows = 0
        self.capacity = 0

    # ---- what is going on -------------------------------------------------------------------------------------------
    @property
    def running(self) -> list[Sequence]:
        return [slot.owner for slot in self.slots if slot.owner is not None]

    @property
    def free(self) -> int:
        return sum(slot.owner is None for slot in self.slots)

    @property
    def waiting_requests(self) -> int:
        return len({id(s.request) for s in self.waiting if s.request.started is None})

    # ---- the queue --------------------------------------------------------------------------------------------------
    def enqueue(self, request: Request) -> None:
        """Raises QUEUE_FULL."""
        if self.waiting_requests >= self.max_waiting:
            raise SidecarError(
                "QUEUE_FULL",
                f"{self.max_waiting} requests are waiting already; try again in a few seconds.",
                max_waiting=self.max_waiting,
            )
        self.waiting.extend(request.sequences)

    def withdraw(self, request: Request) -> None:
        self.waiting = deque(s for s in self.waiting if s.request is not request)

    def admit(self) -> list[Admission]:
        """Take from the head of the queue while there is a slot and memory. Never overtakes: first come, first
        served."""
        admitted = []
        while self.waiting and self.free:
            sequence = self.waiting[0]
            if sequence.index > 0 and not self._leader_ready(sequence):
                break
            slot, source, reuse = self._place(sequence)
            if not self._fits(slot, len(sequence.tokens) + 1):
                break
            self.waiting.popleft()
            entry = self.slots[slot]
            entry.owner, entry.salt = sequence, sequence.request.salt
            entry.tokens = sequence.tokens[:reuse]
            sequence.slot, sequence.computed, sequence.state = slot, reuse, State.PREFILL
            admitted.append(Admission(sequence, slot, source, reuse))
        return admitted

    def _leader_ready(self, sequence: Sequence) -> bool:
        """Further choices of a request wait until the first has been prefilled, then take its prompt."""
        return sequence.request.sequences[0].state not in (State.WAITING, State.PREFILL)

    # ---- memory -----------------------------------------------------------------------------------------------------
    def _rows_with(self, slot: int) -> int:
        highest = max((i for i, s in enumerate(self.slots) if s.owner is not None), default=-1)
        return max(highest, slot) + 1

    def _fits(self, slot: int, length: int) -> bool:
        need = bucket(max(length, *(len(s.tokens) + 1 for s in self.running), 0))
        return self._rows_with(slot) * need <= self.budget

    def shape(self) -> tuple[int, int]:
        """Rows and capacity the cache must have now; grows by doubling and shrinks rows only under memory pressure."""
        need_rows = self._rows_with(-1)
        need = bucket(max((len(s.tokens) + 1 for s in self.running), default=1))
        rows, capacity = max(self.rows, need_rows), self.capacity
        if need > capacity:
            capacity = need if self.capacity == 0 else max(need, min(2 * self.capacity, need + 1024))
        if need_rows > self.rows:
            rows = min(len(self.slots), max(need_rows, 2 * self.rows))
        if rows * capacity > self.budget:
            capacity = max(need, min(capacity, self.capacity))
            rows = max(need_rows, min(rows, self.budget // capacity))
        if (rows, capacity) != (self.rows, self.capacity):
            for slot in self.slots[rows:]:
                slot.tokens = []
            for slot in self.slots:
                if slot.owner is None and len(slot.tokens) >= capacity:
                    slot.tokens = slot.tokens[: capacity - 1]
        self.rows, self.capacity = rows, capacity
        return rows, capacity

    def held(self) -> list[int]:
        """How many positions of each slot are computed."""
        return [slot.held for slot in self.slots]

    def tighten(self) -> None:
        """The next shape is the smallest that holds what runs."""
        self.rows = self.capacity = 0

    def overflow(self) -> Sequence | None:
        """The newest running sequence, if what runs no longer fits; the caller preempts it and asks again."""
        running = self.running
        if len(running) < 2:
            return None
        need = bucket(max(len(s.tokens) + 1 for s in running))
        if self._rows_with(-1) * need <= self.budget:
            return None
        return max(running, key=lambda s: (s.request.arrival, s.index))

    def preempt(self, sequence: Sequence) -> None:
        """Back to the head of the queue; it is computed again later, its text so far stands."""
        self.release(sequence, keep=False)
        sequence.state, sequence.computed = State.WAITING, 0
        self.waiting.appendleft(sequence)

    # ---- slots and prefixes -----------------------------------------------------------------------------------------
    def release(self, sequence: Sequence, *, keep: bool = True) -> None:
        """Free the slot. What was computed in it stays usable as a prefix until the slot is needed."""
        if sequence.slot is None:
            return
        slot = self.slots[sequence.slot]
        slot.owner = None
        slot.tokens = sequence.tokens[: sequence.computed] if keep else []
        sequence.slot = None

    def forget(self) -> None:
        """Drop every retained prefix (the model, or what is attached, changed)."""
        for slot in self.slots:
            if slot.owner is None:
                slot.tokens = []

    def hole(self) -> tuple[int, int] | None:
        """(highest running slot, lowest free slot) where moving the one to the other makes the batch's range
        tighter."""
        used = [i for i, s in enumerate(self.slots) if s.owner is not None]
        if len(used) < 1 or used[-1] + 1 <= 2 * len(used):
            return None
        low = next(i for i, s in enumerate(self.slots) if s.owner is None)
        return used[-1], low

    def move(self, source: int, target: int) -> Sequence:
        sequence = self.slots[source].owner
        assert sequence is not None
        assert self.slots[target].owner is None
        self.slots[target] = self.slots[source]
        self.slots[source] = Slot()
        sequence.slot = target
        return sequence

    def _place(self, sequence: Sequence) -> tuple[int, int | None, int]:
        """The slot to use, and the longest prefix there is: in place in a free slot, else copied from any other."""
        best, best_length = None, 0
        if not sequence.request.needs_prompt:
            for i, slot in enumerate(self.slots):
                if slot.salt != sequence.request.salt:
                    continue
                known = slot.tokens if slot.owner is None else slot.owner.tokens[: slot.owner.computed]
                length = min(common_prefix(known, sequence.tokens), len(sequence.tokens) - 1)
                if length > best_length or (length == best_length and best is not None and slot.owner is None):
                    best, best_length = i, length
        free = [i for i, slot in enumerate(self.slots) if slot.owner is None]
        if best is None or best_length < MIN_REUSE:
            # the lowest free slot keeps the range tight; among the first few, one that retains least
            window = free[: max(1, len(self.running) + 2)]
            return min(window, key=lambda i: (len(self.slots[i].tokens) > 0, i)), None, 0
        if self.slots[best].owner is None and best_length >= len(self.slots[best].tokens) // 2:
            return best, None, best_length
        target = min((i for i in free if i != best), key=lambda i: (len(self.slots[i].tokens) > 0, i), default=best)
        return target, (best if target != best else None), best_length


def common_prefix(a: list[int], b: list[int]) -> int:
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    low, high = 0, n  # a[:low] == b[:low], a[:high] != b[:high]
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
