"""The demo model as the demo's scripts see it: loading from the GGUF and reading or changing one residual stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from fetch_model import FILE_NAME, fetch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

MODEL_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
LAYER = 15
HOOK_NAME = f"blocks.{LAYER}.hook_resid_post"
HF_HOOK_NAME = f"model.layers.{LAYER}"
CONTEXT_SIZE = 256
WORK = Path(__file__).resolve().parent / "training"
SAE_DIR = Path(__file__).resolve().parent / "sae"


def load_model(dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    folder = fetch().parent
    # Without `dequantize`, transformers may keep the weights packed and unpack them at every step.
    config = GgufConfig(dequantize=True)
    return AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=FILE_NAME, dtype=dtype, quantization_config=config
    ).eval()


def load_tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(fetch().parent, gguf_file=FILE_NAME)


@contextmanager
def editing(layer: torch.nn.Module, edit: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """While open, the layer's output residual stream h is replaced by `edit(h)`."""

    def hook(_module: torch.nn.Module, _inputs: object, output: object) -> object:
        if isinstance(output, torch.Tensor):
            return edit(output)
        return (edit(output[0]), *output[1:])

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
