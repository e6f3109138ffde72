"""`python -m millm_inference`: settings → app → uvicorn."""

from __future__ import annotations

import os
import sys
from types import FrameType

import uvicorn

from millm_inference import logs
from millm_inference.heap import bound_heap
from millm_inference.settings import Settings, read_settings
from millm_inference.watchdog import Watchdog, Watched

CALLED_OFF_PATIENCE_S = 30.0
"""A load that was called off ends at the next tensor; where it does not, nothing is lost with the process: the model
before it is unloaded already."""


def main() -> int:
    try:
        settings = read_settings()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    os.environ.setdefault("TQDM_DISABLE", "1")  # progress bars of libraries are no log lines
    # Where transformers copies a model's own code to, should the caller trust it: a home may be missing or read-only.
    os.environ.setdefault("HF_MODULES_CACHE", str(settings.data_dir / "modules"))
    bound_heap(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    _use_threads(settings)
    from millm_inference.app import create_app  # after the settings are known to be good: this imports torch models

    app = create_app(settings)

    class DrainingServer(uvicorn.Server):
        """Tells the runtime as soon as the signal comes: open feeds would hold the shutdown up."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.runtime.begin_drain()
            super().handle_exit(sig, frame)

    server = DrainingServer(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=int(settings.shutdown_grace_s) + 5,
            timeout_keep_alive=75,
        )
    )
    runtime, hang_s = app.state.runtime, settings.hang_timeout_s
    watched = {
        "engine": Watched(runtime.engine_busy_since, hang_s),
        "event loop": Watched(lambda: runtime.loop_seen, hang_s),
        "load": Watched(lambda: runtime.work.held_since, settings.load_timeout_s),
        "cancelled load": Watched(runtime.called_off_since, min(hang_s, CALLED_OFF_PATIENCE_S)),
    }
    Watchdog(hang_s, watched).start()
    server.run()
    return 0 if server.started else 1


def _use_threads(settings: Settings) -> None:
    """Physical cores unless told otherwise: torch's compute threads gain nothing from hyper-threads."""
    import psutil
    import torch

    torch.set_num_threads(settings.threads or psutil.cpu_count(logical=False) or 1)


if __name__ == "__main__":
    raise SystemExit(main())
