"""Waits until the gateway says that everything behind it works, or says why it does not."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request

from launcher.supervisor import Supervised

FIRST_POLL_S = 0.25
LAST_POLL_S = 2.0
MAX_STOPS_BEFORE_READY = 4
REASON = re.compile(r"error|cannot|could not|fail|in use|unknown|no such|refused|must be", re.IGNORECASE)


class NotReadyError(Exception):
    """Why the start was given up, in one sentence for a person."""


# A proxy named in the environment has no business with this machine's own programs.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def probe(url: str) -> str | None:
    """None when ready, otherwise what stands in the way."""
    try:
        with _opener.open(url, timeout=5) as response:
            return None if response.status == 200 else f"answered {response.status}"
    except urllib.error.HTTPError as error:
        return _reason(error.code, error.read(4096))
    except (OSError, ValueError) as error:
        return f"does not answer ({getattr(error, 'reason', None) or error})"


async def wait_until_ready(url: str, programs: list[Supervised], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    poll_s = FIRST_POLL_S
    while (reason := await asyncio.to_thread(probe, url)) is not None:
        for supervised in programs:
            if supervised.stops >= MAX_STOPS_BEFORE_READY:
                raise NotReadyError(_gave_up(supervised))
        if time.monotonic() > deadline:
            raise NotReadyError(f"Not ready after {timeout_s:g} s: {url} {reason}.")
        await asyncio.sleep(poll_s)
        # Often at first, then less so: each look is a line in the gateway's log.
        poll_s = min(poll_s * 1.3, LAST_POLL_S)


def _gave_up(supervised: Supervised) -> str:
    name = supervised.program.name
    return (
        f"{name} stopped {supervised.stops} times before it was ready ({supervised.last_exit}); "
        f"its last words: {last_words(list(supervised.last_lines))}"
    )


def last_words(lines: list[str]) -> str:
    """The last line that sounds like a reason, else simply the last one."""
    said = [line.strip() for line in reversed(lines) if line.strip()]
    reasons = [line for line in said if REASON.search(line)]
    return next(iter(reasons or said), "it printed nothing")


def _reason(status: int, body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return f"answered {status}"
    return f"answered {status} {json.dumps(document)[:600]}"
