"""miLLM sidecar: models, SAEs and the batch engine behind the contract of `proto/inference.yaml`."""

__version__ = "0.1.0"
