"""Who may import whom, in all three programs: ARCHITECTURE.md's arrows, kept true without anyone remembering them."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "inference" / "millm_inference"
GATEWAY = REPOSITORY / "gateway" / "src"
WEB = REPOSITORY / "web" / "src" / "lib"
PROTO = REPOSITORY / "proto"

# folder → what its files must not import, as a prefix of the module's dotted name
PYTHON_RULES = {
    "engine": ("fastapi", "starlette", "uvicorn", "millm_inference.contract", "millm_inference.interpret.",
               "millm_inference.routes", "millm_inference.hub", "millm_inference.app"),
    "interpret": (
        "fastapi",
        "starlette",
        "uvicorn",
        "millm_inference.routes",
        "millm_inference.hub",
        "millm_inference.app",
    ),
    "hub": ("fastapi", "starlette", "millm_inference.routes", "millm_inference.engine", "millm_inference.interpret",
            "millm_inference.app"),
    "routes": ("millm_inference.app",),
}  # fmt: skip

TYPESCRIPT_IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*['"]([^'"]+)['"]""")


def python_imports(file: Path) -> Iterator[str]:
    package = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            module = f"{base}.{node.module or ''}".rstrip(".") if node.level else node.module or ""
            yield module
            yield from (f"{module}.{name.name}" for name in node.names)


def typescript_imports(file: Path, root: Path) -> Iterator[str]:
    """Packages by name; own files as a path from `root`, so that a rule need not know where the importer lies."""
    for specifier in TYPESCRIPT_IMPORT.findall(file.read_text("utf-8")):
        if specifier.startswith("."):
            yield os.path.relpath(file.parent / specifier, root)
        elif specifier.startswith(("#lib/", "$lib/")):
            yield specifier.split("/", 1)[1]
        else:
            yield specifier


def typescript_files(folder: Path) -> list[Path]:
    files = (file for pattern in ("*.ts", "*.svelte", "*.mjs") for file in folder.rglob(pattern))
    return sorted(file for file in files if not {"generated", "node_modules"} & set(file.parts))


def offences(files: list[Path], root: Path, forbidden: str) -> list[str]:
    return [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in files
        for name in typescript_imports(file, root)
        if re.search(forbidden, name)
    ]


@pytest.mark.parametrize(("folder", "forbidden"), PYTHON_RULES.items(), ids=PYTHON_RULES)
def test_the_sidecars_folders_import_only_downwards(folder: str, forbidden: tuple[str, ...]) -> None:
    found = [
        f"{file.relative_to(REPOSITORY)} imports {name}"
        for file in sorted((PACKAGE / folder).rglob("*.py"))
        for name in sorted(set(python_imports(file)))
        if f"{name}.".startswith(forbidden)
    ]
    assert found == []


def test_only_settings_and_the_process_itself_read_the_environment_of_the_sidecar() -> None:
    readers = [
        file.name for file in PACKAGE.rglob("*.py") if re.search(r"os\.(environ|getenv)", file.read_text("utf-8"))
    ]
    assert set(readers) <= {"settings.py", "__main__.py"}


def test_a_gateway_service_is_handed_its_tools() -> None:
    services = sorted(GATEWAY.rglob("service.ts"))
    assert services
    assert offences(services, GATEWAY, r"^(fastify|@fastify/|@prisma/|ioredis|socket\.io|storage/generated)") == []


def test_only_storage_knows_which_database_and_cache_are_behind_us() -> None:
    others = [file for file in typescript_files(GATEWAY) if GATEWAY / "storage" not in file.parents]
    assert offences(others, GATEWAY, r"^(pg$|ioredis|@electric-sql/|@prisma/adapter-pg)") == []


def test_nothing_but_the_composition_root_imports_routes() -> None:
    composition = {GATEWAY / name for name in ("app.ts", "live.ts", "management.ts")}
    others = [file for file in typescript_files(GATEWAY) if file not in composition]
    assert offences(others, GATEWAY, r"(^|/)routes(\.ts)?$") == []


def test_only_config_and_the_processes_that_call_it_read_the_environment_of_the_gateway() -> None:
    readers = [file.name for file in typescript_files(GATEWAY) if "process.env" in code_of(file)]
    assert set(readers) <= {"config.ts", "server.ts", "migrate-cli.ts"}


def test_the_dashboards_primitives_know_no_state_and_no_api() -> None:
    assert offences(typescript_files(WEB / "ui"), WEB, r"^(state|api|live)/") == []


def test_the_dashboards_api_and_live_layers_know_no_state() -> None:
    files = typescript_files(WEB / "api") + typescript_files(WEB / "live")
    assert offences(files, WEB, r"^(state|ui)/") == []


def test_proto_imports_nobody() -> None:
    files = [file for file in typescript_files(PROTO) if file.suffix == ".ts"]
    assert offences(files, PROTO, r"^\.\./") == []


def code_of(file: Path) -> str:
    return re.sub(r"//.*|/\*[\s\S]*?\*/", "", file.read_text("utf-8"))
