"""`.env.example` documents exactly the variables that the two programs read, each once, with its real default."""

import re
from dataclasses import fields
from pathlib import Path

from millm_inference.settings import Settings, variable

REPOSITORY = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"number\(([\d *]+)")
TEXT = re.compile(r"(?:\.default|list)\('([^']*)'\)")


def documented() -> list[tuple[str, str]]:
    lines = (REPOSITORY / ".env.example").read_text("utf-8").splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Z_]+=", line)]  # type: ignore[misc]


def gateway_settings() -> dict[str, str]:
    """Name → the source text after it, from the object literal in gateway/src/config.ts."""
    source = (REPOSITORY / "gateway" / "src" / "config.ts").read_text("utf-8")
    literal = source.split("const environment = z.object({", 1)[1].split("\n});", 1)[0]
    return dict(re.findall(r"^  ([A-Z_]+): (.*)$", literal, re.MULTILINE))


def sidecar_settings() -> dict[str, str]:
    defaults = Settings()
    values = {variable(field.name): getattr(defaults, field.name) for field in fields(Settings)}
    return {
        name: "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }


def gateway_default(source: str) -> str | None:
    if number := NUMBER.match(source):
        product = 1
        for factor in number.group(1).split("*"):
            product *= int(factor)
        return str(product)
    if text := TEXT.search(source):
        return text.group(1)
    return {"flag": "false"}.get(source.rstrip(","), "")


def test_every_variable_is_documented_once() -> None:
    names = [name for name, _ in documented()]
    assert sorted(names) == sorted(gateway_settings().keys() | sidecar_settings().keys())


def test_the_defaults_shown_are_the_sidecars() -> None:
    shown = dict(documented())
    shared = {"MILLM_DATA_DIR", "LOG_LEVEL", "LOG_FORMAT", "MODEL_CACHE_DIR"}
    assert {n: shown[n] for n in sidecar_settings() if n not in shared} == {
        n: v for n, v in sidecar_settings().items() if n not in shared
    }


def test_the_defaults_shown_are_the_gateways() -> None:
    shown = dict(documented())
    assert {name: shown[name] for name in gateway_settings()} == {
        name: gateway_default(source) for name, source in gateway_settings().items()
    }
