"""What deleting frees: exactly what no other download needs, and nothing outside the cache directories."""

from pathlib import Path

import pytest

from millm_inference.errors import SidecarError
from millm_inference.hub.delete import delete_files
from tests.hub.conftest import MEGABYTE, ask

WEIGHTS = "model.safetensors"


def remains(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file() or p.is_symlink())


@pytest.fixture
def delete(roots, downloads):
    return lambda path: delete_files(str(path), roots.values(), downloads.in_use)


@pytest.fixture
def get(downloads, watcher):
    def get_(download_id="d1", *args, **more):
        downloads.start(ask(download_id, *args, **more))
        done = watcher.ended(download_id)
        assert done.state == "done", done.error
        return done

    return get_


def test_a_model_is_gone_with_its_blobs(hub, get, delete, roots, model_files):
    hub.add("org/model", model_files)
    done = get()
    assert delete(done.local_path) == done.bytes_total
    assert remains(roots["model"]) == []
    assert delete(done.local_path) == 0
    assert get("d2").state == "done"


def test_what_another_revision_shares_stays(hub, get, delete, model_files):
    hub.add("org/model", model_files)
    hub.add("org/model", {**model_files, "tokenizer.json": b"{}"}, revision="next", commit="d" * 40)
    first, second = get("d1"), get("d2", revision="next")
    assert delete(first.local_path) == len(model_files["tokenizer.json"])
    assert (Path(second.local_path) / WEIGHTS).read_bytes() == model_files[WEIGHTS]
    assert (Path(second.local_path) / "config.json").exists()
    assert not Path(first.local_path).exists()
    assert delete(second.local_path) == len(model_files[WEIGHTS]) + len(model_files["config.json"]) + 2


def test_one_sae_of_a_repository_goes_alone(hub, get, delete, big):
    files = {f"layer_{n}/params.npz": big[n * 100_000 :][:200_000] for n in range(3)}
    hub.add("org/saes", files)
    first, second = (get(f"d{n}", "org/saes", "sae", path=f"layer_{n}") for n in (0, 1))
    assert delete(first.local_path) == 200_000
    assert (Path(second.local_path) / "params.npz").read_bytes() == files["layer_1/params.npz"]
    assert not Path(first.local_path).exists()


def test_the_rest_of_a_cancelled_download_is_freed(hub, downloads, watcher, delete, roots, model_files):
    hub.add("org/model", model_files)
    hub.faults.stall_after[WEIGHTS] = MEGABYTE
    downloads.start(ask())
    watcher.until("d1", lambda s: s.bytes_done > MEGABYTE)
    cancelled = downloads.cancel("d1")
    assert delete(cancelled.local_path) == cancelled.bytes_done
    assert remains(roots["model"]) == []


def test_what_a_running_download_needs_stays(hub, downloads, watcher, delete, model_files):
    hub.add("org/model", model_files)
    hub.add("org/model", {**model_files, "tokenizer.json": b"{}"}, revision="next", commit="d" * 40)
    hub.faults.stall_after[WEIGHTS] = MEGABYTE
    downloads.start(ask("d1"))
    watcher.until("d1", lambda s: s.bytes_done > MEGABYTE)
    cancelled = downloads.cancel("d1")
    downloads.start(ask("d2", revision="next"))
    watcher.until("d2", lambda s: s.bytes_done > MEGABYTE)
    assert not downloads.writes_below(Path(cancelled.local_path))
    assert downloads.writes_below(Path(cancelled.local_path).parent)
    delete(cancelled.local_path)
    hub.faults.stall_after.clear()
    downloads.cancel("d2")
    downloads.start(ask("d3", revision="next"))
    assert watcher.ended("d3").state == "done"
    assert int(hub.ranges(WEIGHTS)[-1].removeprefix("bytes=").removesuffix("-")) >= MEGABYTE


def test_a_whole_repository_goes_by_its_folder(hub, get, delete, roots, model_files):
    hub.add("org/model", model_files)
    hub.add("org/model", {**model_files, "tokenizer.json": b"{}"}, revision="next", commit="d" * 40)
    first, second = get("d1"), get("d2", revision="next")
    assert delete(roots["model"] / "models--org--model") == first.bytes_total + 2
    assert remains(roots["model"]) == []
    assert not Path(second.local_path).exists()


def test_disks_without_symbolic_links_hold_one_copy_too(hub, get, delete, roots, model_files, monkeypatch):
    def refuse(*_, **__):
        raise OSError(1, "no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    hub.add("org/model", model_files)
    done = get()
    assert (Path(done.local_path) / WEIGHTS).stat().st_nlink == 2
    assert delete(done.local_path) == done.bytes_total
    assert remains(roots["model"]) == []


def test_what_the_loader_made_of_a_gguf_file_goes_with_it(hub, get, delete, roots, big):
    hub.add("org/gguf", {"tiny.Q4_0.gguf": big})
    done = get("d1", "org/gguf")
    assert done.local_path.endswith("/tiny.Q4_0.gguf")
    for name, source in (("tiny.Q4_0-00", "tiny.Q4_0.gguf"), ("tiny.Q4_0-01", "another.gguf")):
        made = roots["model"] / "converted" / name
        made.mkdir(parents=True)
        (made / "complete.json").write_text(f'{{"source": "{source}"}}')
    assert delete(done.local_path) > len(big)
    assert remains(roots["model"]) == ["converted/tiny.Q4_0-01/complete.json"]


def test_something_imported_below_the_cache_is_removed_whole(delete, roots):
    folder = roots["model"] / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b"12345")
    assert delete(folder) == 5
    assert not folder.exists()


@pytest.mark.parametrize("where", ["", "../outside", "models", "models/../outside", "outside", "models/link/file"])
def test_nothing_outside_is_touched(delete, roots, tmp_path, where):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    roots["model"].mkdir(exist_ok=True)
    (roots["model"] / "link").symlink_to(outside)
    with pytest.raises(SidecarError) as refused:
        delete(f"{tmp_path}/{where}" if where else where)
    assert refused.value.code == "VALIDATION_ERROR"
    assert (outside / "file").read_text() == "precious"


def test_a_link_out_of_the_cache_is_refused(delete, roots, tmp_path):
    roots["model"].mkdir()
    (tmp_path / "file").write_text("precious")
    (roots["model"] / "link").symlink_to(tmp_path / "file")
    with pytest.raises(SidecarError):
        delete(roots["model"] / "link")


def test_the_stores_own_folders_are_no_downloads(hub, get, delete, roots, model_files):
    hub.add("org/model", model_files)
    get()
    with pytest.raises(SidecarError, match="whole download"):
        delete(roots["model"] / "models--org--model" / "blobs")
