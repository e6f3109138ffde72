"""What a soak was for: nothing failed that was not made to, nothing is left, memory is flat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from soak.load import Answer

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Injected:
    """Something was killed, until everything answered again."""

    what: str
    begun: float
    ended: float


@dataclass
class Memory:
    """Resident bytes over time, of each life of each program, without keys and values: those grow with what runs, up to
    a limit that the operator sets, and are judged by it."""

    samples: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    most_keys_and_values: int = 0

    def note(self, program: str, pid: int, used: int, keys_and_values: int = 0) -> None:
        self.samples.setdefault((program, pid), []).append(used - keys_and_values)
        self.most_keys_and_values = max(self.most_keys_and_values, keys_and_values)

    def growth(self, program: str) -> float | None:
        """MiB between the middle and the last third of its longest life: the first third is still warming up. None: it
        never lived long enough to tell."""
        lives = [values for (name, _), values in self.samples.items() if name == program]
        longest = max(lives, key=len, default=[])
        third = len(longest) // 3
        if third < 60:
            return None
        return (max(longest[-third:]) - max(longest[third : 2 * third])) / MEBIBYTE


def unexpected(answers: Sequence[Answer], injected: Sequence[Injected]) -> list[Answer]:
    """Failures of requests that no injected fault touched."""
    return [answer for answer in answers if answer.failed and not touched(answer, injected)]


def touched(answer: Answer, injected: Sequence[Injected]) -> bool:
    return any(answer.begun <= fault.ended and fault.begun <= answer.ended for fault in injected)


@dataclass(frozen=True)
class Verdict:
    name: str
    value: str
    holds: bool


def judge(
    *,
    answers: Sequence[Answer],
    injected: Sequence[Injected],
    memory: Memory,
    queue: dict[str, int],
    same_text: bool,
    allowed_growth_mib: float,
    kv_limit_mib: int,
) -> list[Verdict]:
    bad = unexpected(answers, injected)
    first = f", e.g. {bad[0].what} {bad[0].status}: {bad[0].detail}" if bad else ""
    calm = [answer for answer in answers if not touched(answer, injected)]
    good = sum(answer.status == 200 for answer in calm)
    verdicts = [
        Verdict("answers that were good", f"{good} of {len(calm)} that no fault touched", good > 0.6 * len(calm)),
        Verdict("failures that nobody injected", f"{len(bad)}{first}", not bad),
        Verdict("faults injected", ", ".join(f.what for f in injected), len(injected) == 2),
        Verdict(
            "slots free at the end",
            f"{queue['slots_free']} of {queue['slots_total']}",
            queue["slots_free"] == queue["slots_total"],
        ),
        Verdict(
            "running or waiting at the end",
            str(queue["running"] + queue["waiting"]),
            queue["running"] + queue["waiting"] == 0,
        ),
        Verdict("greedy text as before", "yes" if same_text else "NO", same_text),
        Verdict(
            "keys and values, at most",
            f"{memory.most_keys_and_values / MEBIBYTE:.0f} of {kv_limit_mib} MiB",
            memory.most_keys_and_values <= kv_limit_mib * MEBIBYTE,
        ),
    ]
    for program, what in (("sidecar", "MiB beside keys and values"), ("gateway", "MiB")):
        growth = memory.growth(program)
        text = "lived too shortly to tell" if growth is None else f"{growth:+.0f} {what}"
        verdicts.append(
            Verdict(f"memory of the {program}, last third", text, growth is None or growth < allowed_growth_mib)
        )
    return verdicts
