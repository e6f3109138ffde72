"""Readers: one small file per format an SAE is published in; `load_sae` and `describe_sae` are the way in."""

from millm_inference.interpret.formats.load import describe_sae, files_bytes, load_sae

__all__ = ["describe_sae", "files_bytes", "load_sae"]
