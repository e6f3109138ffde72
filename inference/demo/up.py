"""`make demo`: fetches the model, starts the sidecar and the gateway, and keeps them running until Ctrl-C.

Standard library only. `--dev` reloads what changes and serves the dashboard from Vite; `--fake` needs no torch.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from fetch_model import FetchError, fetch
from launcher.greeting import greeting, read_examples
from launcher.log_stream import LogStream
from launcher.manifest import write_manifest
from launcher.preflight import PreflightError, check_disk, check_ports, check_python, find_node
from launcher.programs import Plan, programs_of
from launcher.readiness import NotReadyError, wait_until_ready
from launcher.supervisor import Program, Supervised

REPOSITORY = Path(__file__).resolve().parents[2]
SAE = REPOSITORY / "inference" / "demo" / "sae"
FAKE_BOOTSTRAP = REPOSITORY / "gateway" / "test" / "fake-bootstrap.json"
READY_TIMEOUT_S = 300.0


async def serve(programs: list[Program], gateway_port: int) -> int:
    """Runs the programs, given in the order in which they need each other, until a signal; returns the exit code."""
    stop = asyncio.Event()
    log = LogStream(on_closed=stop.set)
    started = [Supervised(program, log.line) for program in programs]
    _stop_on_signals(stop, started)
    running = [asyncio.create_task(supervised.run()) for supervised in started]
    stopping = asyncio.create_task(stop.wait())
    health_url = f"http://127.0.0.1:{gateway_port}/api/health/ready"
    ready = asyncio.create_task(wait_until_ready(health_url, started, READY_TIMEOUT_S))
    await asyncio.wait({ready, stopping}, return_when=asyncio.FIRST_COMPLETED)
    code = 0
    if ready.done():
        try:
            await ready
            examples = read_examples(SAE / "examples.json")
            log.write(greeting(f"http://localhost:{gateway_port}", examples, os.path.relpath(sys.executable)))
            await stopping
        except NotReadyError as error:
            code = _refuse(str(error))
    ready.cancel()
    stopping.cancel()
    log.line("miLLM", "stopping")
    # The gateway is last in the list and first to go: its open streams still need the sidecar.
    for supervised in reversed(started):
        await supervised.stop()
    await asyncio.gather(*running)
    return code


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Start miLLM: sidecar and gateway, with the demo's model and SAE.")
    parser.add_argument("--dev", action="store_true", help="reload what changes")
    parser.add_argument("--fake", action="store_true", help="a scripted sidecar instead of the real one")
    arguments = parser.parse_args(argv)
    default_data_dir = REPOSITORY / "data" / ("fake" if arguments.fake else "")
    data_dir = Path(os.environ.get("MILLM_DATA_DIR") or default_data_dir).resolve()
    try:
        check_python()
        check_disk(data_dir)
        node = find_node(REPOSITORY)
        gateway_port, inference_port = check_ports(os.environ)
        bootstrap = FAKE_BOOTSTRAP if arguments.fake else write_manifest(data_dir, fetch(), SAE)
    except (PreflightError, FetchError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"Cannot write to {error.filename or data_dir}: {error.strerror}.")
    except KeyboardInterrupt:
        return 130
    plan = Plan(REPOSITORY, data_dir, node, gateway_port, inference_port, bootstrap, arguments.dev, arguments.fake)
    return asyncio.run(serve(programs_of(plan), gateway_port))


def _stop_on_signals(stop: asyncio.Event, started: list[Supervised]) -> None:
    def on_signal() -> None:
        if stop.is_set():  # asked twice: no more grace
            for supervised in started:
                supervised.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
