"""Searches for features whose steering changes the answer: concept words → candidate features → greedy steered answers.

Steering is the server's `add`: h += strength · W_dec[index] at the hook, for every token, the prompt included.
"""

import argparse
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch
from lm import LAYER, SAE_DIR, WORK, editing, load_model, load_tokenizer
from sae_lens import SAE
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

log = structlog.get_logger()
PROMPTS = ("Tell me about your day.", "Write a short story.", "What should I do this weekend?")
CONCEPTS = {
    "cats and dogs": "cat cats kitten dog dogs puppy pet pets",
    "animals": "animal animals bird birds horse lion elephant species wildlife",
    "food": "food cooking cook recipe delicious eat meal chef bake flavor ingredients kitchen",
    "sweets": "chocolate cake sugar sweet candy cream dessert",
    "sea": "sea ocean ship sail sailor waves captain boat beach fish island",
    "space": "space planet planets star stars moon galaxy rocket astronaut universe",
    "music": "music song songs guitar piano melody jazz sing band concert",
    "poetry": "poem poetry verse poet rhyme thy thee sonnet",
    "shakespeare": "thou thee thy hath doth lord sir king noble",
    "sadness": "sad sadness tears cry grief sorrow lonely pain loss",
    "joy": "happy joy happiness delight smile laugh wonderful love",
    "fear": "fear afraid dark terror scary horror ghost haunted danger",
    "love": "love heart romantic kiss marriage wedding romance lover",
    "religion": "God Lord Jesus church Christ faith prayer holy heaven Bible",
    "war": "war battle army soldiers military weapons enemy troops fight",
    "code": "function code def return import print class string variable python",
    "numbers": "number numbers hundred thousand percent sum equation equals plus",
    "math": "equation triangle theorem algebra geometry calculate fraction",
    "money": "money dollars price bank cost market business profit invest economy",
    "medicine": "doctor medical patient disease health hospital treatment symptoms medicine",
    "body": "body brain heart muscle blood skin bones",
    "law": "law court legal judge crime police rights lawyer justice",
    "politics": "government president election vote party congress political Republican Democrats",
    "weather": "weather rain snow storm wind cold temperature winter cloud",
    "garden": "garden flower flowers plant plants tree trees leaves forest green",
    "sport": "game team player football ball sport tennis match cricket coach",
    "school": "school teacher students learn class lesson education homework",
    "french": "le la les des est une dans pour avec que",
    "spanish": "el la los una que para con por está como",
    "german": "der die das und ist nicht ein mit den auf",
    "film": "film movie movies actor director scene cinema comedy",
    "magic": "magic wizard spell dragon fairy witch enchanted kingdom",
    "computer": "computer software computers internet program data Linux Debian digital",
    "anger": "angry anger furious hate rage mad",
    "family": "mother father family son daughter parents children brother sister",
    "colour": "red blue green yellow color colors white black purple",
    "time": "morning night evening day hour clock time midnight",
    "death": "death dead died kill murder grave funeral",
    "history": "century ancient empire Roman history historical medieval kings",
    "science": "science scientists physics chemistry experiment theory atoms energy",
    "drink": "beer wine coffee tea drink drinking water alcohol",
    "question": "why what how question ask answer wonder",
    "humour": "joke funny laugh humor ha comedy silly",
    "travel": "travel trip journey city hotel visit train plane road",
    "clothes": "clothes dress wear shirt shoes fashion hat",
}


@dataclass(frozen=True, slots=True)
class Trial:
    index: int  # -1: not steered
    strength: float
    prompt: str


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def candidates(features: list[dict], concept_words: set[str], count: int) -> list[int]:
    """Features by how many of the words that they promote or peak on belong to the concept."""

    def score(feature: dict) -> float:
        promoted = sum(piece.strip().lower() in concept_words for piece in feature["promoted"])
        peaks = [context["tokens"][context["peak"]] for context in feature["contexts"]]
        return promoted + 1.5 * sum(piece.strip().lower() in concept_words for piece in peaks)

    scored = [(score(feature), feature["index"]) for feature in features if feature["density"] < 0.05]
    return [index for value, index in sorted(scored, reverse=True)[:count] if value >= 2]


@torch.inference_mode()
def answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sae: SAE, trials: list[Trial], max_new_tokens: int
) -> list[str]:
    """Greedy answers to all trials in one batch."""
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": trial.prompt}], tokenize=False, add_generation_prompt=True
        )
        for trial in trials
    ]
    encoded = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    rows = torch.stack(
        [trial.strength * sae.W_dec[trial.index] if trial.index >= 0 else torch.zeros(sae.cfg.d_in) for trial in trials]
    ).to(model.dtype)[:, None]
    alive = torch.arange(len(trials))
    cache = DynamicCache(config=model.config)
    position = mask.cumsum(-1).sub(1).clamp(min=0)
    produced: list[list[int]] = [[] for _ in trials]
    for _ in range(max_new_tokens):
        with editing(model.model.layers[LAYER], lambda hidden, add=rows: hidden + add):
            output = model(
                input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, logits_to_keep=1
            )
        ids = output.logits[:, -1].argmax(-1, keepdim=True)
        for row, token in zip(alive.tolist(), ids[:, 0].tolist(), strict=True):
            produced[row].append(token)
        keep = (ids[:, 0] != tokenizer.eos_token_id).nonzero()[:, 0]
        if not len(keep):
            break
        if len(keep) < len(ids):
            cache.batch_select_indices(keep)
            alive, ids, mask, position, rows = alive[keep], ids[keep], mask[keep], position[keep], rows[keep]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        position = position[:, -1:] + 1
    return [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in produced]


def coherence(text: str) -> float:
    """Share of distinct word trigrams: 1 for prose, near 0 for a loop."""
    words = words_of(text)
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) / len(trigrams) if len(trigrams) > 5 else 0.0


def concept_rate(text: str, concept_words: set[str]) -> float:
    words = words_of(text)
    counts = Counter(words)
    return sum(counts[word] for word in concept_words) / max(len(words), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sae", type=Path, default=SAE_DIR)
    parser.add_argument("--concepts", nargs="*", default=list(CONCEPTS))
    parser.add_argument("--features", type=int, nargs="*", help="these instead of candidates by concept")
    parser.add_argument("--per-concept", type=int, default=2)
    parser.add_argument("--strengths", type=float, nargs="+", default=[30.0, 50.0])
    parser.add_argument("--prompts", nargs="+", default=list(PROMPTS[:1]))
    parser.add_argument("--max-new-tokens", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--float32", action="store_true", help="exactly as the server computes; slower")
    parser.add_argument("--out", type=Path, default=WORK / "steering.jsonl")
    arguments = parser.parse_args()
    sae = SAE.load_from_disk(arguments.sae, dtype="float32")
    features = json.loads((arguments.sae / "labels.json").read_text())["features"]
    labels = {feature["index"]: feature["label"] for feature in features}
    vocabulary = {name: set(words_of(CONCEPTS[name])) for name in arguments.concepts}
    chosen = (
        [("chosen", index) for index in arguments.features]
        if arguments.features
        else [
            (name, i) for name, words in vocabulary.items() for i in candidates(features, words, arguments.per_concept)
        ]
    )
    trials = [("", Trial(-1, 0.0, prompt)) for prompt in arguments.prompts]
    trials += [
        (name, Trial(index, strength, prompt))
        for name, index in chosen
        for strength in arguments.strengths
        for prompt in arguments.prompts
    ]
    model = load_model(torch.float32 if arguments.float32 else torch.bfloat16)
    tokenizer = load_tokenizer()
    with arguments.out.open("a") as sink:
        for begin in range(0, len(trials), arguments.batch_size):
            part = trials[begin : begin + arguments.batch_size]
            texts = answers(model, tokenizer, sae, [trial for _, trial in part], arguments.max_new_tokens)
            for (name, trial), text in zip(part, texts, strict=True):
                record = {
                    "concept": name,
                    "index": trial.index,
                    "label": labels.get(trial.index, ""),
                    "strength": trial.strength,
                    "prompt": trial.prompt,
                    "coherence": round(coherence(text), 2),
                    "concept_rate": round(concept_rate(text, vocabulary.get(name, set())), 3),
                    "text": text,
                }
                sink.write(json.dumps(record, ensure_ascii=False) + "\n")
            sink.flush()
            log.info("steering:answered", done=begin + len(part), of=len(trials))


if __name__ == "__main__":
    main()
