"""The bootstrap manifest: what the gateway registers, and wants loaded, when it starts with the demo.

Run by itself it writes the manifest of a folder that holds the demo's model and SAE: manifest.py FOLDER MODEL SAE.
"""

import json
import sys
from pathlib import Path
from typing import Any

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
MODEL_ALIAS = "smollm2-135m-instruct"
SAE_ID = "demo"


def manifest(model: Path, sae: Path) -> dict[str, Any]:
    # Without an SAE beside it, as while one is being trained, the model is served alone.
    has_sae = (sae / "cfg.json").is_file()
    demo = {"id": SAE_ID, "path": str(sae), "model": MODEL_ID, "labels": str(sae / "labels.json")}
    saes = [demo] if has_sae else []
    return {
        "models": [{"repo_id": MODEL_ID, "path": str(model), "aliases": [MODEL_ALIAS]}],
        "saes": saes,
        "desired": {"model": MODEL_ID, "saes": [entry["id"] for entry in saes]},
    }


def write_manifest(folder: Path, model: Path, sae: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bootstrap.json"
    path.write_text(json.dumps(manifest(model, sae), indent=2) + "\n", "utf-8")
    return path


if __name__ == "__main__":
    write_manifest(*map(Path, sys.argv[1:]))
