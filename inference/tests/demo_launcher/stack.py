"""Runs the real supervisor over fake programs: stack.py FOLDER PORT MODE…; pids are written to FOLDER/<mode>."""

import asyncio
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "demo"))

import launcher.supervisor as supervisor  # noqa: E402
import up  # noqa: E402


def main(folder: str, port: str, *modes: str) -> int:
    supervisor.FIRST_BACKOFF_S = 0.05
    supervisor.GRACE_S = 0.5
    programs = [
        supervisor.Program(
            name=mode,
            command=(sys.executable, str(HERE / "fake_program.py"), str(Path(folder) / mode), mode, port),
            cwd=HERE,
        )
        for mode in modes
    ]
    return asyncio.run(up.serve(programs, int(port)))


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    sys.exit(main(*sys.argv[1:]))
