"""One exception for every failure the sidecar can name; routes and streams render it, nobody else builds error
bodies."""

from __future__ import annotations

from typing import Any, get_args

from millm_inference.contract import ErrorBody

Code = ErrorBody.model_fields["code"].annotation
CODES: frozenset[str] = frozenset(get_args(Code))


class SidecarError(Exception):
    """A failure with a code of the contract and one sentence that tells the caller what to do.

    `param` is the path of the offending field in the *public* request (`steering.features[2].index`).
    """

    def __init__(self, code: str, message: str, *, param: str | None = None, **details: Any) -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.details = details

    def body(self) -> ErrorBody:
        return ErrorBody.model_validate(
            {"code": self.code, "message": self.message, "param": self.param, "details": self.details}
        )
