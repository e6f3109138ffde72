"""What a person reads once everything is up: where to look, and two things to paste that work."""

import json
import shlex
from pathlib import Path
from typing import Any

from launcher.manifest import MODEL_ALIAS

FALLBACK_PROMPT = "Tell me about your day."


def read_examples(path: Path) -> list[dict[str, Any]]:
    """The measured steering examples of the demo's SAE; none when the file is missing or not what it should be."""
    try:
        examples = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    keys = {"index", "strength", "prompt"}
    return [entry for entry in examples if isinstance(entry, dict) and keys <= entry.keys()]


def curl(base_url: str) -> str:
    body = {
        "model": MODEL_ALIAS,
        "stream": True,
        "temperature": 0,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    }
    head = f"curl -N {base_url}/v1/chat/completions -H 'content-type: application/json'"
    return f"{head} \\\n  -d {shlex.quote(json.dumps(body))}"


def python_snippet(base_url: str, example: dict[str, Any] | None) -> str:
    prompt = example["prompt"] if example else FALLBACK_PROMPT
    call = [
        f'model="{MODEL_ALIAS}"',
        f'messages=[{{"role": "user", "content": {json.dumps(prompt)}}}]',
        "temperature=0",
        "max_tokens=80",
    ]
    if example:
        feature = {"index": example["index"], "strength": example["strength"]}
        call.append(f'extra_body={{"steering": {{"features": [{json.dumps(feature)}]}}}}')
    return (
        "from openai import OpenAI\n"
        f'client = OpenAI(base_url="{base_url}/v1", api_key="none")\n'
        f"print(client.chat.completions.create({', '.join(call)}).choices[0].message.content)"
    )


def greeting(base_url: str, examples: list[dict[str, Any]], python: str) -> str:
    example = examples[0] if examples else None
    about = f', steered with feature {example["index"]} "{example.get("label", "")}"' if example else ""
    return "\n".join(
        [
            "",
            f"  miLLM is ready: {base_url}",
            "",
            "  An answer, streamed:",
            "",
            curl(base_url),
            "",
            f"  The official client{about} (run it with {python}, or pip install openai):",
            "",
            python_snippet(base_url, example),
            "",
            "  Ctrl-C stops everything.",
            "",
            "",
        ]
    )
