"""The registry of SAELens, read from its package without importing it."""

import subprocess
import sys

import httpx
import pytest

from millm_inference.app import create_app
from millm_inference.errors import SidecarError
from millm_inference.hub import registry
from millm_inference.settings import Settings


def test_every_word_counts_in_any_case_and_pages_add_up():
    every = registry.search("Gemma-2-2B Layer_20", None, None, 0, 500)
    assert every.total > 10
    for entry in every.items:
        text = f"{entry.model} {entry.release} {entry.sae_id} {entry.repo_id}".lower()
        assert "gemma-2-2b" in text
        assert "layer_20" in text
    assert registry.search("gemma-2-2b layer_20", None, None, 5, 3).items == every.items[5:8]
    assert registry.search("there is no such model", None, None, 0, 5).total == 0


def test_a_release_and_an_id_name_what_saelens_itself_downloads():
    """The oracle: SAELens' own directory, in a process of its own, since importing it takes seconds."""
    release, sae_id = "gpt2-small-res-jb", "blocks.8.hook_resid_pre"
    [entry] = registry.search("", release, sae_id, 0, 5).items
    code = (
        "from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory as d;"
        f"e = d()[{release!r}]; print(e.repo_id, e.saes_map[{sae_id!r}], e.model)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [entry.repo_id, entry.path, entry.model] == told


def test_saelens_is_not_imported_for_it():
    code = (
        "import sys; from millm_inference.hub import registry; registry.search('gemma', None, None, 0, 1);"
        "assert 'sae_lens' not in sys.modules and 'transformer_lens' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_saelens_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(registry, "FILE", "nothing.yaml")
    with pytest.raises(SidecarError, match=r"millm-inference\[sae\]"):
        registry.search("", None, None, 0, 1)


async def test_the_sidecar_serves_it(tmp_path):
    app = create_app(Settings(data_dir=tmp_path))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        page = (await client.get("/hub/registry", params={"search": "gpt2-small", "limit": 2})).json()
        assert len(page["items"]) == 2
        assert page["total"] > 2
        assert (await client.get("/hub/registry", params={"limit": 0})).json()["code"] == "VALIDATION_ERROR"
