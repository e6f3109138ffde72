"""Downloads over real HTTP from a hub on loopback, with the faults a network has."""

import hashlib
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from millm_inference.errors import SidecarError
from millm_inference.hub.download import Limits
from millm_inference.settings import read_settings
from tests.hub.conftest import IMPATIENT, MEGABYTE, ask
from tests.hub.fake_hub import COMMIT

WEIGHTS = "model.safetensors"


def tree(folder):
    return {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}


def test_a_model_arrives_with_what_it_needs_and_nothing_else(hub, downloads, watcher, model_files, roots):
    hub.add("org/model", model_files)
    first = downloads.start(ask())
    assert (first.state, first.bytes_total, first.local_path) == ("queued", 0, None)
    done = watcher.ended("d1")
    assert (done.state, done.revision, done.error) == ("done", COMMIT, None)
    assert tree(done.local_path) == {"config.json", "tokenizer.json", WEIGHTS}
    for name in tree(done.local_path):
        assert (Path(done.local_path) / name).read_bytes() == model_files[name]
    assert done.bytes_done == done.bytes_total == sum(len(model_files[name]) for name in tree(done.local_path))
    assert hub.served[WEIGHTS] == len(model_files[WEIGHTS])
    assert hub.served["pytorch_model.bin"] == hub.served["onnx/model.onnx"] == 0
    # the layout is huggingface_hub's own
    from huggingface_hub import try_to_load_from_cache

    assert try_to_load_from_cache("org/model", WEIGHTS, cache_dir=roots["model"]) == f"{done.local_path}/{WEIGHTS}"


def test_progress_rises_with_seq_and_speed_and_at_most_four_times_a_second(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.seconds_per_piece[WEIGHTS] = 0.004
    begun = time.monotonic()
    downloads.start(ask())
    watcher.ended("d1")
    elapsed = time.monotonic() - begun
    running = [s for s in watcher.told if s.state == "running" and s.bytes_done]
    assert len(running) >= 3
    assert all(b.seq > a.seq for a, b in pairwise(watcher.told))
    assert all(b.bytes_done >= a.bytes_done for a, b in pairwise(running))
    assert running[-1].bytes_per_second > 0
    assert len(running) <= 4 * elapsed + 1
    assert [s.state for s in watcher.told[:2]] == ["queued", "running"]
    assert downloads.states()[0] == watcher.told[-1]


def test_a_cut_connection_is_continued_where_it_broke(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.cut_after[WEIGHTS] = [MEGABYTE, 500_000]
    downloads.start(ask())
    done = watcher.ended("d1")
    assert done.state == "done"
    assert (
        hub.ranges(WEIGHTS)
        == [None, None, f"bytes={MEGABYTE}-", f"bytes={MEGABYTE}-"] + [f"bytes={MEGABYTE + 500_000}-"] * 2
    )  # the hub's redirect and the CDN, each time
    assert hub.served[WEIGHTS] == len(model_files[WEIGHTS])


def test_a_hub_that_is_busy_is_asked_again(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.statuses[WEIGHTS] = [503, 429]
    hub.faults.statuses["org/model"] = [500]
    downloads.start(ask("d1"))
    assert watcher.ended("d1").state == "done"
    hub.faults.statuses["org/model"] = [500, 502, 503]
    downloads.start(ask("d2"))
    failed = watcher.ended("d2")
    assert (failed.error.code, failed.error.message) == (
        "DOWNLOAD_FAILED",
        f"{hub.endpoint} answered 503 when asked for org/model.",
    )


def test_the_token_is_not_shown_with_the_settings():
    assert "secret" not in repr(read_settings({"HF_TOKEN": "secret"}))


def test_a_connection_that_brings_nothing_fails_and_the_next_start_continues(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.cut_after[WEIGHTS] = [MEGABYTE, 0, 0, 0, 0]
    downloads.start(ask())
    failed = watcher.ended("d1")
    assert (failed.state, failed.error.code) == ("failed", "DOWNLOAD_FAILED")
    assert failed.bytes_done > MEGABYTE
    hub.faults.cut_after.clear()
    downloads.start(ask("d2"))
    assert watcher.ended("d2").state == "done"
    assert hub.served[WEIGHTS] == len(model_files[WEIGHTS])


def test_a_hub_that_ignores_ranges_is_read_from_the_beginning(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.cut_after[WEIGHTS] = [MEGABYTE]
    hub.faults.ignore_range.add(WEIGHTS)
    downloads.start(ask())
    done = watcher.ended("d1")
    assert done.state == "done"
    assert done.bytes_done == done.bytes_total
    assert (Path(done.local_path) / WEIGHTS).read_bytes() == model_files[WEIGHTS]


def test_cancelling_stops_the_bytes_and_a_new_start_continues_them(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.seconds_per_piece[WEIGHTS] = 0.005
    downloads.start(ask())
    watcher.until("d1", lambda s: s.bytes_done > 300_000)
    begun = time.monotonic()
    cancelled = downloads.cancel("d1")
    assert cancelled.state == "cancelled"
    assert time.monotonic() - begun < 1
    served = hub.served[WEIGHTS]
    time.sleep(0.3)
    assert hub.served[WEIGHTS] - served <= 64 * 1024  # what its thread had in hand
    assert watcher.told[-1].state == "cancelled"
    hub.faults.seconds_per_piece.clear()
    downloads.start(ask())
    done = watcher.until("d1", "done")
    assert hub.served[WEIGHTS] < len(model_files[WEIGHTS]) + 512 * 1024
    assert hub.ranges(WEIGHTS)[-1] == f"bytes={cancelled.bytes_done - len(model_files['config.json']) - 8}-"
    assert (Path(done.local_path) / WEIGHTS).read_bytes() == model_files[WEIGHTS]


def test_cancelling_does_not_wait_for_a_hub_that_stalls(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.stall_after[WEIGHTS] = MEGABYTE
    downloads.start(ask())
    watcher.until("d1", lambda s: s.bytes_done > MEGABYTE)
    begun = time.monotonic()
    assert downloads.cancel("d1").state == "cancelled"
    assert time.monotonic() - begun < 1


def test_a_queued_download_is_cancelled_without_a_request(hub, open_downloads, watcher, model_files):
    downloads = open_downloads(limits=Limits(downloads=1, patience=IMPATIENT.patience))
    hub.add("org/model", model_files)
    hub.add("org/other", model_files)
    hub.faults.stall_after[WEIGHTS] = MEGABYTE
    downloads.start(ask("d1"))
    watcher.until("d1", "running")
    downloads.start(ask("d2", "org/other"))
    assert downloads.cancel("d2").state == "cancelled"
    downloads.cancel("d1")
    time.sleep(0.1)
    assert not [url for _, url, _ in hub.requests if "org/other" in url]
    assert downloads.cancel("d2").state == "cancelled"
    with pytest.raises(SidecarError, match="no download 'd3'"):
        downloads.cancel("d3")


def test_what_another_download_still_needs_is_not_promised_twice(hub, open_downloads, watcher, model_files, big):
    hub.add("org/model", model_files)
    hub.add("org/other", {**model_files, WEIGHTS: big[::-1]})
    hub.faults.stall_after[WEIGHTS] = MEGABYTE
    downloads = open_downloads(free_bytes=lambda _: 5 * MEGABYTE)
    downloads.start(ask("d1"))
    watcher.until("d1", lambda s: s.bytes_done)
    downloads.start(ask("d2", "org/other"))
    assert "too full" in watcher.ended("d2").error.message
    downloads.cancel("d1")


def test_a_wrong_checksum_fails_and_removes_the_file(hub, downloads, watcher, model_files, roots):
    hub.add("org/model", model_files)
    hub.faults.corrupt.add(WEIGHTS)
    downloads.start(ask())
    failed = watcher.ended("d1")
    assert failed.error.code == "DOWNLOAD_FAILED"
    assert "wrong checksum" in failed.error.message
    sha256 = hashlib.sha256(model_files[WEIGHTS]).hexdigest()
    assert not list((roots["model"] / "models--org--model" / "blobs").glob(f"{sha256}*"))
    assert WEIGHTS not in tree(failed.local_path)
    hub.faults.corrupt.clear()
    downloads.start(ask())
    assert watcher.until("d1", "done")


def test_small_files_are_verified_too(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.corrupt.add("tokenizer.json")
    downloads.start(ask())
    assert "tokenizer.json arrived with a wrong checksum" in watcher.ended("d1").error.message


def test_a_damaged_leftover_is_fetched_again_from_the_beginning(hub, downloads, watcher, model_files, roots):
    hub.add("org/model", model_files)
    sha256 = hashlib.sha256(model_files[WEIGHTS]).hexdigest()
    left = roots["model"] / "models--org--model" / "blobs" / f"{sha256}.incomplete"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(MEGABYTE))
    downloads.start(ask())
    done = watcher.ended("d1")
    assert done.state == "done"
    assert (Path(done.local_path) / WEIGHTS).read_bytes() == model_files[WEIGHTS]


def test_two_repositories_download_at_once(hub, downloads, watcher, model_files, big):
    hub.add("org/model", model_files)
    hub.add("org/other", {**model_files, WEIGHTS: big[::-1]})
    hub.faults.seconds_per_piece[WEIGHTS] = 0.002
    downloads.start(ask("d1"))
    downloads.start(ask("d2", "org/other"))
    assert watcher.ended("d1").state == watcher.ended("d2").state == "done"
    running = [s.download_id for s in watcher.told if s.state == "running" and s.bytes_per_second]
    assert running.index("d2") < len(running) - 1 - running[::-1].index("d1")  # one began before the other ended


def test_the_same_twice_at_once_is_one_download(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.seconds_per_piece[WEIGHTS] = 0.001
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(downloads.start(ask(f"d{i}")))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({state.download_id for state in answers}) == 1
    done = watcher.ended(answers[0].download_id)
    assert done.state == "done"
    assert len(downloads.states()) == 1
    assert hub.served[WEIGHTS] == len(model_files[WEIGHTS])


def test_one_commit_under_two_names_fetches_each_file_once(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.seconds_per_piece[WEIGHTS] = 0.001
    downloads.start(ask("d1", revision="main"))
    downloads.start(ask("d2", revision=COMMIT))
    assert watcher.ended("d1").local_path == watcher.ended("d2").local_path
    assert hub.served[WEIGHTS] == len(model_files[WEIGHTS])


def test_an_id_that_runs_for_something_else_is_a_conflict(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.stall_after[WEIGHTS] = MEGABYTE
    downloads.start(ask("d1"))
    with pytest.raises(SidecarError, match="running for something else"):
        downloads.start(ask("d1", "org/other"))
    downloads.cancel("d1")


def test_two_revisions_share_what_they_have_in_common(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.add("org/model", {**model_files, "tokenizer.json": b"{}"}, revision="next", commit="d" * 40)
    downloads.start(ask("d1"))
    first = watcher.ended("d1")
    downloads.start(ask("d2", revision="next"))
    second = watcher.ended("d2")
    assert first.local_path != second.local_path
    assert hub.served[WEIGHTS] == len(model_files[WEIGHTS])
    assert (Path(second.local_path) / "tokenizer.json").read_bytes() == b"{}"


def test_a_finished_commit_needs_no_hub(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    downloads.start(ask("d1"))
    first = watcher.ended("d1")
    asked = len(hub.requests)
    downloads.start(ask("d2", revision=COMMIT))
    again = watcher.ended("d2")
    assert (again.state, again.local_path, again.bytes_done) == ("done", first.local_path, first.bytes_total)
    assert len(hub.requests) == asked
    (Path(first.local_path) / WEIGHTS).resolve().unlink()
    downloads.start(ask("d3", revision=COMMIT))
    assert watcher.ended("d3").state == "done"
    assert hub.served[WEIGHTS] == 2 * len(model_files[WEIGHTS])


def test_a_hub_that_cannot_be_reached_is_named(open_downloads, hub, watcher):
    downloads = open_downloads()
    hub.close()
    downloads.start(ask())
    failed = watcher.ended("d1")
    assert failed.error.code == "DOWNLOAD_FAILED"
    assert "cannot be reached" in failed.error.message


def test_a_listing_of_many_pages_is_read_to_its_end(hub, downloads, watcher, model_files):
    hub.page_size = 2
    hub.add("org/model", model_files)
    downloads.start(ask())
    assert tree(watcher.ended("d1").local_path) == {"config.json", "tokenizer.json", WEIGHTS}


def test_closing_stops_the_bytes_without_a_word(hub, downloads, watcher, model_files):
    hub.add("org/model", model_files)
    hub.faults.seconds_per_piece[WEIGHTS] = 0.005
    downloads.start(ask())
    watcher.until("d1", lambda s: s.bytes_done > 300_000)
    downloads.close()
    time.sleep(0.1)
    served = hub.served[WEIGHTS]
    time.sleep(0.2)
    assert hub.served[WEIGHTS] - served <= 64 * 1024
    assert watcher.told[-1].state == "running"
    with pytest.raises(SidecarError, match="stopping"):
        downloads.start(ask("d2"))
