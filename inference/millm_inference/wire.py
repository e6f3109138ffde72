"""The base of every message of the contract: frozen, and a field nobody declared is an error, not a silence."""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
