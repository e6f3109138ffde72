"""lm-evaluation-harness scores a task through /v1/completions exactly as the model's own log-softmax does."""

from __future__ import annotations

import lm_eval
import pytest
import torch
from conftest import FOLDER
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.fixture(scope="module")
def results(base, model, weights):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(FOLDER)
        return lm_eval.simple_evaluate(
            model="local-completions",
            model_args={
                "base_url": f"{base}/v1/completions",
                "model": model,
                "tokenizer": str(weights),
                "tokenizer_backend": "huggingface",
                "tokenized_requests": True,
                "num_concurrent": 1,
                "max_retries": 1,
            },
            batch_size=8,
            tasks=["millm_capitals"],
            task_manager=TaskManager(include_path=str(FOLDER / "tasks"), include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )


def teacher_forced(network, context, whole):
    """(sum of the continuation's log-probabilities, whether each of its tokens is the most likely one)."""
    with torch.no_grad():
        scores = torch.log_softmax(network(torch.tensor([whole])).logits[0].float(), -1)
    places = range(len(context), len(whole))
    total = sum(scores[i - 1, whole[i]].item() for i in places)
    return total, all(scores[i - 1].argmax().item() == whole[i] for i in places)


def test_every_log_likelihood_is_the_models_own(results, weights):
    network = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(weights)
    compared = 0
    for sample in results["samples"]["millm_capitals"]:
        for request, [answer] in zip(sample["arguments"], sample["resps"], strict=True):
            context, continuation = request
            expected, greedy = teacher_forced(
                network, tokenizer(context)["input_ids"], tokenizer(context + continuation)["input_ids"]
            )
            assert float(answer[0]) == pytest.approx(expected, abs=2e-3), request
            assert answer[1] == greedy, request
            compared += 1
    assert compared == 24


def test_the_model_is_far_above_chance(results):
    assert results["results"]["millm_capitals"]["acc,none"] >= 0.75
