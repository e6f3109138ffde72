"""What cannot be downloaded is refused before a byte of it comes: by token, name, path, or room on the disk."""

import json

import pytest

from millm_inference.errors import SidecarError
from tests.hub.conftest import MEGABYTE, ask
from tests.hub.fake_hub import GOOD_TOKEN

WEIGHTS = "model.safetensors"


def test_a_gated_repository_needs_a_token_that_goes_to_the_hub_alone(hub, open_downloads, watcher, model_files, caplog):
    hub.add("org/model", model_files, gated=True)
    downloads = open_downloads()
    downloads.start(ask("d1"))
    refused = watcher.ended("d1")
    assert refused.error.code == "GATED_REPOSITORY"
    assert f"{hub.endpoint}/org/model" in refused.error.message
    downloads.start(ask("d2", hf_token="hf_other"))
    assert watcher.ended("d2").error.code == "GATED_REPOSITORY"
    downloads.start(ask("d3", hf_token="hf_nonsense"))
    assert watcher.ended("d3").error.code == "GATED_REPOSITORY"
    downloads.start(ask("d4", hf_token=GOOD_TOKEN))
    assert watcher.ended("d4").state == "done"
    everything = json.dumps([s.model_dump(mode="json") for s in watcher.told]) + caplog.text + repr(downloads.__dict__)
    assert not [token for token in (GOOD_TOKEN, "hf_other", "hf_nonsense") if token in everything]
    assert not [headers for _, url, headers in hub.requests if url.startswith("/cdn/") and "authorization" in headers]


def test_the_servers_own_token_opens_a_gated_repository(hub, open_downloads, watcher, model_files):
    hub.add("org/model", model_files, gated=True)
    open_downloads(token=GOOD_TOKEN).start(ask())
    assert watcher.ended("d1").state == "done"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"revision": "nowhere"}, "MODEL_NOT_FOUND", "no revision 'nowhere'"),
        ({"repo_id": "org/nothing"}, "MODEL_NOT_FOUND", "no repository org/nothing"),
        ({"repo_id": "org/private"}, "MODEL_NOT_FOUND", "if it is private"),
        ({"repo_id": "org/nothing", "kind": "sae"}, "SAE_NOT_FOUND", "no repository org/nothing"),
        ({"path": "elsewhere"}, "MODEL_NOT_FOUND", "no folder or file 'elsewhere'"),
        ({"kind": "sae", "path": "elsewhere"}, "SAE_NOT_FOUND", "nothing that looks like an SAE"),
    ],
)
def test_what_is_not_there_is_named(hub, downloads, watcher, model_files, changes, code, words):
    hub.add("org/model", model_files)
    hub.add("org/private", model_files, private=True)
    downloads.start(ask(**changes))
    failed = watcher.ended("d1")
    assert failed.error.code == code
    assert words in failed.error.message


@pytest.mark.parametrize(
    ("repo_id", "kind", "choices"),
    [("org/saes", "sae", ["layer_1", "layer_2"]), ("org/gguf", "model", ["m.Q4.gguf", "m.Q8.gguf"])],
)
def test_where_there_are_several_one_has_to_be_named(hub, downloads, watcher, repo_id, kind, choices):
    hub.add("org/saes", {"layer_1/params.npz": b"1", "layer_2/params.npz": b"2"})
    hub.add("org/gguf", {"m.Q4.gguf": b"4", "m.Q8.gguf": b"8"})
    downloads.start(ask("d1", repo_id, kind))
    error = watcher.ended("d1").error
    assert (error.code, error.param, error.details["choices"]) == ("VALIDATION_ERROR", "path", choices)
    downloads.start(ask("d2", repo_id, kind, path=choices[1]))
    done = watcher.ended("d2")
    assert (done.state, done.path) == ("done", choices[1])
    assert done.local_path.endswith(choices[1])


@pytest.mark.parametrize("repo_id", ["../../etc", "a/b/c", "org/..", "/org", "org/a--b", "org/a b", ""])
def test_an_id_that_is_none_is_refused(downloads, repo_id):
    with pytest.raises(SidecarError, match="no repository id"):
        downloads.start(ask(repo_id=repo_id))


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../b", "a\\b", "a\0b"])
def test_a_path_out_of_the_repository_is_refused(downloads, path):
    with pytest.raises(SidecarError, match="no path inside"):
        downloads.start(ask(path=path))


def test_a_hub_that_lists_paths_out_of_the_repository_is_not_believed(hub, downloads, watcher, llama_config):
    hub.add("org/model", {"config.json": llama_config, "../../evil.json": b"{}"})
    downloads.start(ask())
    assert watcher.ended("d1").error.code == "DOWNLOAD_FAILED"


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(hub, open_downloads, watcher, model_files):
    hub.add("org/model", model_files)
    open_downloads(free_bytes=lambda _: MEGABYTE).start(ask())
    failed = watcher.ended("d1")
    assert (failed.state, failed.error.code) == ("failed", "DOWNLOAD_FAILED")
    assert "too full by 3.1 MB" in failed.error.message
    assert failed.error.details["missing_bytes"] == failed.bytes_total - MEGABYTE
    assert hub.served[WEIGHTS] == 0


def test_a_cache_directory_that_is_none_is_an_error_with_its_reason(hub, downloads, watcher, model_files, roots):
    hub.add("org/model", model_files)
    roots["model"].write_text("a file")
    downloads.start(ask())
    error = watcher.ended("d1").error
    assert (error.code, error.message) == ("DOWNLOAD_FAILED", "The cache directory cannot be used: Not a directory.")
