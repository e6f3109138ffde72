"""Writes `sae/labels.json`: for each live feature a label, its top contexts, promoted tokens, density and maximum.

A label is made from the words that the feature peaks on, from words that are much more frequent around its peaks than
elsewhere, and from the words that its decoder row promotes. Labels in `sae/hand_labels.json` win.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import evidence as ev
import structlog
import torch
from lm import HOOK_NAME, MODEL_NAME, SAE_DIR, WORK, load_model, load_tokenizer
from sae_lens import SAE
from transformers import PreTrainedTokenizerBase

CONTEXTS = 3
ASK = "<|im_start|>user\nSay something.<|im_end|>\n<|im_start|>assistant\n"
NEUTRAL = (ASK + "I want to tell you about the", ASK + "I really like", ASK + "This is all about")
WORD = re.compile(r"[^\W\d_]{2,}")
STOP_WORDS = """
the of and to in is that for it as was with be by on not he his but at are this have from or had an they which
one you were her all she there would their we him been has when who will more no if out so said what up its
about into than them can only other new some could time these two may then do first any my now such like our
over me even most also after your how should well through where just because each between those both must
being very much before
"""
STOP = frozenset(STOP_WORDS.split())
log = structlog.get_logger()


class Reader:
    """Turns token ids into the words around a position."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary_size: int) -> None:
        self.text = [tokenizer.decode([index]) for index in range(vocabulary_size)]

    def word(self, tokens: list[int], peak: int) -> str:
        """The whole word that the token at `peak` belongs to, or the token itself when it is none."""
        pieces = [self.text[token] for token in tokens]
        if not pieces[peak].strip() or not pieces[peak].strip()[0].isalpha():
            return pieces[peak]
        first, last = peak, peak
        while first > 0 and pieces[first][0].isalpha() and pieces[first - 1][-1:].isalpha():
            first -= 1
        while last + 1 < len(pieces) and pieces[last + 1][:1].isalpha() and pieces[last][-1].isalpha():
            last += 1
        return "".join(pieces[first : last + 1]).strip()

    def words(self, tokens: list[int]) -> list[str]:
        found = WORD.findall("".join(self.text[token] for token in tokens).lower())
        return [word for word in found if word not in STOP and len(word) > 2]


def fold(word: str) -> str:
    """Makes 'Cats', 'cats' and 'cat' one word for counting."""
    word = word.strip().lower()
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def shown(piece: str) -> str:
    names = {"\n": "line break", "\n\n": "paragraph break", "\t": "tab"}
    return f"'{piece.strip()}'" if piece.strip() else names.get(piece, repr(piece))


def weighted(words: list[str], weights: list[float]) -> list[tuple[str, float]]:
    """Distinct words by their share of the weight, each in its most frequent spelling."""
    total: Counter[str] = Counter()
    spelling: dict[str, Counter[str]] = {}
    for word, weight in zip(words, weights, strict=True):
        total[fold(word)] += weight
        spelling.setdefault(fold(word), Counter())[word] += 1
    whole = sum(total.values()) or 1.0
    return [(spelling[key].most_common(1)[0][0], value / whole) for key, value in total.most_common()]


def theme(words: Counter[str], background: Counter[str], all_words: int, count: int = 3) -> list[str]:
    """Words over-represented around the peaks, by log-likelihood with add-one smoothing, in at least three contexts."""
    inside = sum(words.values()) or 1
    score = {
        word: seen * float(torch.tensor(seen / inside / ((background[word] + 1) / all_words)).log())
        for word, seen in words.items()
        if seen >= 3
    }
    ranked = sorted(score, key=lambda word: -score[word])
    chosen: list[str] = []
    for word in ranked:
        if score[word] > 6 and fold(word) not in map(fold, chosen):
            chosen.append(word)
    return chosen[:count]


def readable(pieces: list[str], common: frozenset[str], count: int = 3) -> list[str]:
    """Promoted tokens that are whole words, folded, without those that many features promote."""
    chosen: list[str] = []
    for piece in pieces:
        word = piece.strip()
        if not (piece.startswith(" ") and WORD.fullmatch(word) and word.isascii()) or word.lower() in STOP:
            continue
        if piece not in common and fold(word) not in map(fold, chosen):
            chosen.append(word)
    return chosen[:count]


def promoted_by_many(pieces: list[list[str]]) -> frozenset[str]:
    seen = Counter(piece for row in pieces for piece in row)
    return frozenset(piece for piece, count in seen.items() if count > 0.03 * len(pieces))


def describe(peaks: list[tuple[str, float]], around: list[str], promotes: list[str], density: float) -> str:
    names = [shown(word) for word, share in peaks if share >= 0.08][:3]
    top = peaks[0][1] if peaks else 0.0
    lead = ", ".join(names)
    context = [word for word in around if fold(word) not in {fold(name) for name, _ in peaks[:3]}]
    if top >= 0.6:
        lead = names[0]
        extra = f" near {', '.join(context[:2])}" if context else ""
        label = f"{lead}{extra}"
    elif len(names) >= 2 or not context:
        label = (lead or "varied words") + (f" · {', '.join(context[:2])}" if context else "")
    else:
        label = f"about {', '.join(around)}"
    fresh = [word for word in promotes if fold(word) not in fold(label)]
    if fresh and (top < 0.6 or not context):
        label += f" → {', '.join(fresh[:2])}"
    return ("(very frequent) " if density > 0.2 else "") + label


def build(sae: SAE, shards: list[Path], hand: dict[str, str]) -> list[dict[str, object]]:
    tokenizer, model = load_tokenizer(), load_model(torch.float32)
    reader = Reader(tokenizer, model.lm_head.weight.shape[0])
    evidence = ev.collect(sae, shards)
    prefixes = [tokenizer.encode(prefix, add_special_tokens=False) for prefix in NEUTRAL]
    promotes = ev.promoted(sae, model, prefixes)
    live = [index for index in range(sae.cfg.d_sae) if evidence.count[index] > 0]
    wanted = {index: [p for p in evidence.top_position[index].tolist() if p >= 0] for index in live}
    windows = ev.contexts(evidence, sae, shards, wanted)
    pieces_of = [[reader.text[token] for token in row] for row in promotes.tolist()]
    common = promoted_by_many(pieces_of)
    background = Counter(reader.words(evidence.tokens.tolist()))
    all_words = sum(background.values())
    features = []
    for index in live:
        found = windows[index]
        distinct = list({tuple(window.tokens): window for window in found}.values())
        peaks = weighted(
            [reader.word(window.tokens, window.peak) for window in distinct],
            [window.values[window.peak] for window in distinct],
        )
        near = Counter(word for window in distinct for word in set(reader.words(window.tokens)))
        density = float(evidence.count[index]) / evidence.positions
        auto = describe(peaks, theme(near, background, all_words), readable(pieces_of[index], common), density)
        features.append(
            {
                "index": index,
                "label": hand.get(str(index), auto),
                "density": float(f"{density:.3g}"),
                "max_activation": round(float(evidence.top_value[index, 0]), 2),
                "mean_activation": round(float(evidence.total[index] / evidence.count[index]), 2),
                "promoted": pieces_of[index][:8],
                "contexts": [
                    {
                        "tokens": [reader.text[token] for token in window.tokens],
                        "values": [round(value, 1) if value else 0 for value in window.values],
                        "peak": window.peak,
                    }
                    for window in distinct[:CONTEXTS]
                ],
            }
        )
    return features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sae", type=Path, default=SAE_DIR)
    parser.add_argument("--shards", type=int, default=1000, help="how many shards of activations to read")
    arguments = parser.parse_args()
    sae = SAE.load_from_disk(arguments.sae, dtype="float32")
    hand_file = arguments.sae / "hand_labels.json"
    hand = json.loads(hand_file.read_text()) if hand_file.exists() else {}
    shards = sorted((WORK / "activations").glob("*.pt"))[: arguments.shards]
    features = build(sae, shards, hand)
    document = {"sae_id": "demo", "model": MODEL_NAME, "hook": HOOK_NAME, "features": features}
    target = arguments.sae / "labels.json"
    target.write_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")
    log.info("labels:written", features=len(features), size_bytes=target.stat().st_size)


if __name__ == "__main__":
    main()
