"""Samples chats from the demo model itself into `work/chat/`, one file per batch, so that it can stop and go on."""

import argparse
import time
from pathlib import Path

import prompts
import structlog
import torch
from lm import WORK, load_model, load_tokenizer
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

TEMPERATURE = 0.9
TOP_K = 40
log = structlog.get_logger()


@torch.inference_mode()
def sample_batch(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int, seed: int, max_new_tokens: int
) -> list[list[int]]:
    """Whole chats as token ids: template, prompt and sampled answer.

    Not `generate`: on a CPU, drawing among the top k alone and dropping finished rows make it several times faster.
    """
    texts = [
        tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        for chat in prompts.draw(count, seed)
    ]
    encoded = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    chats = [row[keep.bool()].tolist() for row, keep in zip(ids, mask, strict=True)]
    alive = torch.arange(count)
    cache = DynamicCache(config=model.config)
    generator = torch.Generator().manual_seed(seed)
    position = mask.cumsum(-1).sub(1).clamp(min=0)
    for _ in range(max_new_tokens):
        output = model(
            input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, logits_to_keep=1
        )
        top = torch.topk(output.logits[:, -1].float() / TEMPERATURE, TOP_K)
        choice = torch.multinomial(top.values.softmax(-1), 1, generator=generator)
        ids = top.indices.gather(1, choice)
        for row, token in zip(alive.tolist(), ids[:, 0].tolist(), strict=True):
            chats[row].append(token)
        going = ids[:, 0] != tokenizer.eos_token_id
        if not going.all():
            keep = going.nonzero()[:, 0]
            if not len(keep):
                break
            cache.batch_select_indices(keep)
            alive, ids, mask, position = alive[keep], ids[keep], mask[keep], position[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        position = position[:, -1:] + 1
    return chats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--out", type=Path, default=WORK / "chat")
    arguments = parser.parse_args()
    model = load_model(torch.bfloat16)
    tokenizer = load_tokenizer()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for batch in range(arguments.batches):
        target = arguments.out / f"{batch:05}.pt"
        if target.exists():
            continue
        started = time.monotonic()
        chats = sample_batch(model, tokenizer, arguments.batch_size, batch, arguments.max_new_tokens)
        torch.save(chats, target.with_suffix(".tmp"))
        target.with_suffix(".tmp").rename(target)
        tokens = sum(map(len, chats))
        log.info("chat:sampled", batch=batch, tokens=tokens, seconds=round(time.monotonic() - started, 1))


if __name__ == "__main__":
    main()
