"""Writes `sae/examples.json`: chosen features with greedy answers, unsteered and steered, one at a time in float32.

Without `--pick` it answers the examples that are there anew, for instance after a new training or new labels.
"""

import argparse
import json
from pathlib import Path

import steer
import structlog
from lm import SAE_DIR, load_model, load_tokenizer
from sae_lens import SAE

log = structlog.get_logger()


def parse_pick(text: str) -> dict[str, object]:
    index, strength, prompt = text.split(":", 2)
    return {"index": int(index), "strength": float(strength), "prompt": prompt}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sae", type=Path, default=SAE_DIR)
    parser.add_argument("--pick", type=parse_pick, nargs="+", help="INDEX:STRENGTH:PROMPT")
    parser.add_argument("--max-new-tokens", type=int, default=60)
    arguments = parser.parse_args()
    target = arguments.sae / "examples.json"
    picks = arguments.pick or json.loads(target.read_text())
    features = json.loads((arguments.sae / "labels.json").read_text())["features"]
    labels = {feature["index"]: feature["label"] for feature in features}
    sae = SAE.load_from_disk(arguments.sae, dtype="float32")
    model, tokenizer = load_model(), load_tokenizer()
    defaults: dict[str, str] = {}
    examples = []
    for pick in picks:
        index, strength, prompt = pick["index"], pick["strength"], pick["prompt"]
        if prompt not in defaults:
            plain = steer.Trial(-1, 0.0, prompt)
            defaults[prompt] = steer.answers(model, tokenizer, sae, [plain], arguments.max_new_tokens)[0]
        trial = steer.Trial(index, strength, prompt)
        steered = steer.answers(model, tokenizer, sae, [trial], arguments.max_new_tokens)[0]
        examples.append(
            {
                "index": index,
                "label": labels[index],
                "strength": strength,
                "prompt": prompt,
                "default": defaults[prompt],
                "steered": steered,
            }
        )
        log.info("example:answered", **examples[-1])
    target.write_text(json.dumps(examples, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
