"""The sidecar's settings; the only reader of the environment. An unknown MILLM_INFERENCE_ variable is an error."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, cast, get_args

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
LogFormat = Literal["json", "console"]
CudaGraphs = Literal["auto", "off"]


@dataclass(frozen=True, slots=True)
class Settings:
    """One field per variable; `MILLM_INFERENCE_<FIELD>` unless VARIABLES says otherwise. 0 means: choose by
    measurement."""

    host: str = "127.0.0.1"
    port: int = 8100
    device: Device = "auto"
    dtype: Dtype = "auto"
    cuda_graphs: CudaGraphs = "auto"
    threads: int = 0
    slots: int = 32
    kv_memory_mb: int = 0
    memory_limit_mb: int = 0
    max_waiting: int = 256
    prefill_chunk: int = 0
    idle_prefill_chunk: int = 512
    max_context: int = 0
    shutdown_grace_s: float = 20.0
    heartbeat_s: float = 10.0
    hang_timeout_s: float = 300.0
    load_timeout_s: float = 1800.0
    data_dir: Path = Path("data")
    model_cache_dir: Path | None = None
    sae_cache_dir: Path | None = None
    hf_endpoint: str = "https://huggingface.co"
    hf_token: str | None = field(default=None, repr=False)
    log_level: str = "info"
    log_format: LogFormat = "json"

    @property
    def model_cache(self) -> Path:
        return self.model_cache_dir or self.data_dir / "models"

    @property
    def sae_cache(self) -> Path:
        return self.sae_cache_dir or self.data_dir / "saes"


VARIABLES = {
    "load_timeout_s": "MILLM_LOAD_TIMEOUT_S",
    "data_dir": "MILLM_DATA_DIR",
    "model_cache_dir": "MODEL_CACHE_DIR",
    "sae_cache_dir": "SAE_CACHE_DIR",
    "hf_endpoint": "HF_ENDPOINT",
    "hf_token": "HF_TOKEN",
    "log_level": "LOG_LEVEL",
    "log_format": "LOG_FORMAT",
}
PREFIX = "MILLM_INFERENCE_"


def variable(field_name: str) -> str:
    return VARIABLES.get(field_name, PREFIX + field_name.upper())


def read_settings(environ: dict[str, str] | None = None) -> Settings:
    """Raises ValueError with one sentence naming the variable that is wrong."""
    source = dict(os.environ) if environ is None else environ
    known = {variable(f.name): f.name for f in fields(Settings)}
    unknown = sorted(name for name in source if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise ValueError(f"Unknown setting {unknown[0]}; known ones: {', '.join(sorted(known))}.")
    values = {known[name]: _parse(name, known[name], text) for name, text in source.items() if name in known and text}
    return Settings(**values)  # type: ignore[arg-type]


def _parse(name: str, field_name: str, text: str) -> object:
    default = getattr(Settings(), field_name)
    choices: dict[str, tuple[str, ...]] = {
        "device": get_args(Device),
        "dtype": get_args(Dtype),
        "log_format": get_args(LogFormat),
        "cuda_graphs": get_args(CudaGraphs),
    }
    if field_name in choices and text not in choices[field_name]:
        raise ValueError(f"{name} must be one of {', '.join(choices[field_name])}, got {text!r}.")
    if isinstance(default, Path) or field_name.endswith("_dir"):
        return Path(text)
    if isinstance(default, (int, float)):
        try:
            value = type(default)(text)
        except ValueError:
            raise ValueError(f"{name} must be a number, got {text!r}.") from None
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {text!r}.")
        return cast(object, value)
    return text
