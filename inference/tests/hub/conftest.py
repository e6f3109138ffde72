import json
import os
import threading

import pytest

from millm_inference import contract as c
from millm_inference.hub.client import Hub
from millm_inference.hub.download import Downloads, Limits
from millm_inference.hub.transfer import Patience
from tests.hub.fake_hub import FakeHub
from tests.support.tiny import CONFIGS

MEGABYTE = 1 << 20
IMPATIENT = Limits(patience=Patience(tries=2, first_wait_s=0.02, longest_wait_s=0.05))


@pytest.fixture
def hub():
    hub = FakeHub()
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def big():
    """Bytes that compress badly and repeat nowhere."""
    return os.urandom(4 * MEGABYTE)


@pytest.fixture(scope="session")
def llama_config():
    return json.dumps(CONFIGS["llama"]().to_dict()).encode()


@pytest.fixture
def model_files(big, llama_config):
    return {
        "README.md": b"# A model",
        "config.json": llama_config,
        "tokenizer.json": b'{"a": 1}',
        "model.safetensors": big,
        "pytorch_model.bin": b"x" * 20_000,
        "onnx/model.onnx": b"y" * 20_000,
    }


class Watcher:
    """Every state a manager told, and the means to wait for one."""

    def __init__(self):
        self.told: list[c.DownloadState] = []
        self._new = threading.Condition()

    def __call__(self, state):
        with self._new:
            self.told.append(state)
            self._new.notify_all()

    def until(self, download_id, wanted, timeout=20):
        """The first told state of a download that `wanted` (a state's name or a predicate) accepts."""
        accepts = wanted if callable(wanted) else lambda state: state.state == wanted
        with self._new:
            found = self._new.wait_for(
                lambda: next((s for s in self.told if s.download_id == download_id and accepts(s)), None), timeout
            )
        ours = [s for s in self.told if s.download_id == download_id]
        assert found, f"never came; last: {ours[-1] if ours else None}"
        return found

    def ended(self, download_id, timeout=20):
        return self.until(download_id, lambda s: s.state in ("done", "failed", "cancelled"), timeout)


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def roots(tmp_path):
    return {"model": tmp_path / "models", "sae": tmp_path / "saes"}


@pytest.fixture
def open_downloads(hub, roots, watcher):
    opened = []

    def open_(token=None, limits=IMPATIENT, **options):
        downloads = Downloads(Hub(hub.endpoint, token), roots, limits=limits, on_change=watcher, **options)
        opened.append(downloads)
        return downloads

    yield open_
    for downloads in opened:
        downloads.close()


@pytest.fixture
def downloads(open_downloads):
    return open_downloads()


def ask(download_id="d1", repo_id="org/model", kind="model", **more):
    return c.StartDownloadRequest(download_id=download_id, kind=kind, repo_id=repo_id, **more)
