"""Clients that come and go: whole and streamed answers, steered and watched ones, some abandoned; and somebody who
manages meanwhile. Every answer is written down."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
QUESTIONS = ["What is the sea?", "Tell me a story about a dog.", "Count to ten.", "Why is the sky blue?", "Hello!"]


@dataclass(frozen=True)
class Answer:
    what: str
    begun: float
    ended: float
    status: int
    """0: the connection broke."""
    detail: str = ""

    @property
    def code(self) -> str:
        found = re.search(r'"code": ?"(\w+)"', self.detail)
        return found[1] if found else ""

    @property
    def failed(self) -> bool:
        return self.status == 0 or self.status >= 500


@dataclass
class Load:
    base: str
    seed: int = 1
    answers: list[Answer] = field(default_factory=list)
    abandoned: int = 0
    stopped: bool = False

    def counts(self) -> Counter[str]:
        return Counter(f"{a.what} {a.status or 'broken'} {a.code}".rstrip() for a in self.answers)

    async def run(self, clients: int) -> None:
        """Until `stopped` is set."""
        async with httpx.AsyncClient(base_url=self.base, timeout=120) as http:
            talkers = [self._talk(http, random.Random(self.seed * 1000 + n)) for n in range(clients)]
            await asyncio.gather(*talkers, self._manage(http, random.Random(self.seed)))

    async def _talk(self, http: httpx.AsyncClient, rng: random.Random) -> None:
        while not self.stopped:
            leaves_after = rng.uniform(0.05, 2) if rng.random() < 0.3 else None
            kind = rng.choice(["chat", "chat stream", "completion stream", "embedding"])
            try:
                async with asyncio.timeout(leaves_after):
                    await self._ask(http, kind, rng)
            except TimeoutError:
                self.abandoned += 1
            # whoever is refused comes back later, like everybody's client
            broken = bool(self.answers) and self.answers[-1].failed
            await asyncio.sleep(1 if broken else rng.random() * 0.2)

    async def _ask(self, http: httpx.AsyncClient, kind: str, rng: random.Random) -> None:
        path, body = _request(kind, rng)
        begun = time.monotonic()
        try:
            async with http.stream("POST", path, json=body) as response:
                text = (await response.aread()).decode()
            status = response.status_code
            if status == 200 and "stream" in kind and '"error"' in text:
                status = 500  # a late failure comes in the stream
            if status == 200 and "stream" in kind and not text.rstrip().endswith("data: [DONE]"):
                status = 0
            self._note(kind, begun, status, text[-400:] if status != 200 else "")
        except httpx.TransportError as error:
            self._note(kind, begun, 0, repr(error))

    async def _manage(self, http: httpx.AsyncClient, rng: random.Random) -> None:
        turn = 0
        while not self.stopped:
            turn += 1
            for method, path, body in _management(turn, rng):
                status = await self._call(http, method, path, body)
                # what was taken away is put back, whatever was killed meanwhile
                while path.endswith("/attach") and status not in (200, 409) and not self.stopped:
                    await asyncio.sleep(1)
                    status = await self._call(http, method, path, body)
                await asyncio.sleep(0.3)
            await asyncio.sleep(2)

    async def _call(self, http: httpx.AsyncClient, method: str, path: str, body: Any) -> int:
        begun = time.monotonic()
        try:
            response = await http.request(method, path, json=body)
        except httpx.TransportError as error:
            self._note(f"{method} /api", begun, 0, repr(error))
            return 0
        self._note(
            f"{method} /api", begun, response.status_code, response.text[:400] if response.status_code >= 400 else ""
        )
        return response.status_code

    def _note(self, what: str, begun: float, status: int, detail: str) -> None:
        self.answers.append(Answer(what, begun, time.monotonic(), status, detail))


def _request(kind: str, rng: random.Random) -> tuple[str, dict[str, Any]]:
    if kind == "embedding":
        return "/v1/embeddings", {"model": MODEL, "input": rng.sample(QUESTIONS, 2)}
    body: dict[str, Any] = {"model": MODEL, "max_tokens": rng.randint(1, 40), "stream": "stream" in kind}
    if rng.random() < 0.4:
        features = [{"index": rng.randrange(4096), "strength": rng.uniform(-8, 8)} for _ in range(rng.randint(1, 8))]
        body["steering"] = {"features": features}
    if rng.random() < 0.3:
        body["activations"] = {"top_k": 4}
    if rng.random() < 0.2:
        body["n"] = 3
    if kind.startswith("completion"):
        return "/v1/completions", {**body, "prompt": rng.choice(QUESTIONS) * rng.randint(1, 12)}
    return "/v1/chat/completions", {**body, "messages": [{"role": "user", "content": rng.choice(QUESTIONS)}]}


def _management(turn: int, rng: random.Random) -> list[tuple[str, str, Any]]:
    """Somebody looks around, and every third time takes the SAE away and puts it back."""
    looks = ["/api/models", "/api/saes", "/api/system", "/api/profiles", "/metrics", "/api/saes/demo/features?search=a"]
    calls: list[tuple[str, str, Any]] = [("GET", path, None) for path in rng.sample(looks, 3)]
    if turn % 3 == 0:
        calls += [("POST", "/api/saes/demo/detach", None), ("POST", "/api/saes/demo/attach", None)]
    if turn % 4 == 0:
        calls += [
            ("PATCH", f"/api/steering/features/{rng.randrange(4096)}", {"strength": 2}),
            ("DELETE", "/api/steering", None),
        ]
    return calls
