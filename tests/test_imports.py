"""Who may import whom: design.md's rules, checked on the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"bioelx": ROOT, "bioelx_index": ROOT / "index_build", "bioelx_eval": ROOT / "eval"}

GROUND = {"types", "errors", "settings", "cards", "disk"}
MAY_IMPORT: dict[str, set[str]] = {
    "types": set(),
    "errors": set(),
    "cards": {"errors"},
    "disk": {"errors"},
    "graphs": {"errors"},
    "settings": {"errors"},
    "toml_file": {"errors"},
    "config": {"errors", "settings", "toml_file"},
    "v1": set(),
    "kb": GROUND,
    "encoding": GROUND | {"kb", "graphs"},
    "search": GROUND | {"kb", "encoding"},
    "ranking": {"types", "errors", "cards", "disk", "graphs"},
    "confidence": {"types", "errors"},
    # Files and manifests, not models: the linker opens the parts that a release names.
    "release": GROUND,
    "linker": GROUND | {"kb", "encoding", "search", "ranking", "confidence", "release"},
    "gate": GROUND | {"kb", "linker", "release"},
    # The server knows the linker, never an index or a model.
    "service": GROUND | {"kb", "linker", "release", "v1"},
    "channel": {"errors", "settings"},
    "credentials": GROUND | {"channel"},
    "retries": {"errors"},
    "client": GROUND | {"v1", "service", "channel", "credentials", "retries"},
}
"""What each part of bioelx may import of bioelx, at module level or inside functions."""

AT_THE_TOP = {"cli", "__main__", "__init__"}
"""Parts of bioelx that may import all of it."""

# Scripts, which run in a process of their own.
NAIVE = "bioelx_eval/speed/naive.py"
RANKER = "bioelx_eval/speed/ranker.py"
SCRIPTS = (NAIVE, RANKER)
HEAVY = {
    "faiss": ("bioelx/search/index.py", "bioelx/search/gpu.py", NAIVE),
    "onnxruntime": ("bioelx/graphs.py", "bioelx_index/train/"),
    **dict.fromkeys(
        ("torch", "transformers", "sentence_transformers"),
        ("bioelx/encoding/torch.py", "bioelx/ranking/qwen.py", "bioelx_index/train/", *SCRIPTS),
    ),
    **dict.fromkeys(("onnx", "onnxscript", "safetensors"), ("bioelx_index/train/",)),
    "opentelemetry": ("bioelx/service/spans.py",),
}
"""Where packages that are large, or that not every installation has, may be imported."""


@dataclass(frozen=True)
class Import:
    """One imported module, or a name imported from it, written out with dots."""

    file: str
    line: int
    name: str
    deferred: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]

    @property
    def part(self) -> str:
        """`kb` for `bioelx.kb.tables`."""
        return self.name.split(".")[1] if "." in self.name else "__init__"

    @property
    def importer(self) -> str:
        """The part of its package that the importing file belongs to."""
        return self.file.split("/")[1].removesuffix(".py")


def imports_of(package: str) -> list[Import]:
    root = PACKAGES[package]
    found: list[Import] = []
    for path in sorted((root / package).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for node, deferred in walk(
            ast.parse(path.read_text(encoding="utf-8"), name), deferred=False
        ):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}:{node.lineno}: imports are absolute here"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found += [Import(name, node.lineno, each, deferred) for each in names]
    return found


def walk(node: ast.AST, *, deferred: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, and whether they run only when a function is called."""
    for child in ast.iter_child_nodes(node):
        inside = deferred or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield child, inside
        yield from walk(child, deferred=inside)


IMPORTS = {package: imports_of(package) for package in PACKAGES}


def test_there_is_something_to_check() -> None:
    importers = {each.importer for each in IMPORTS["bioelx"]}
    assert {"linker", "kb", "search", "encoding", "release", "service"} <= importers
    assert all(IMPORTS.values())


def test_every_part_of_bioelx_has_its_rule() -> None:
    parts = {
        path.stem
        for path in (ROOT / "bioelx").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert parts <= set(MAY_IMPORT) | AT_THE_TOP


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_parts_of_bioelx_import_only_what_lies_below(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part}
    wrong = [
        str(each)
        for each in IMPORTS["bioelx"]
        if each.importer == part and each.package == "bioelx" and each.part not in allowed
    ]
    assert not wrong


def test_the_client_knows_of_the_server_only_how_errors_travel() -> None:
    wrong = [
        str(each)
        for each in IMPORTS["bioelx"]
        if each.importer == "client"
        and each.part == "service"
        and not each.name.startswith("bioelx.service.status.")
    ]
    assert not wrong


def test_bioelx_stands_without_the_other_two() -> None:
    """Only a command may import what it starts, and only when it runs."""
    wrong = [
        str(each)
        for each in IMPORTS["bioelx"]
        if each.package in ("bioelx_index", "bioelx_eval")
        and not (each.importer == "cli" and each.deferred)
    ]
    assert not wrong


def test_evaluation_never_imports_the_offline_job() -> None:
    assert not [str(each) for each in IMPORTS["bioelx_eval"] if each.package == "bioelx_index"]


def test_the_offline_job_takes_only_readers_and_metrics_from_evaluation() -> None:
    wrong = [
        str(each)
        for each in IMPORTS["bioelx_index"]
        if each.package == "bioelx_eval" and each.part not in ("datasets", "metrics")
    ]
    assert not wrong


@pytest.mark.parametrize("library", sorted(HEAVY))
def test_heavy_libraries_stay_in_their_places(library: str) -> None:
    wrong = [
        str(each)
        for imports in IMPORTS.values()
        for each in imports
        if each.package == library and not each.file.startswith(HEAVY[library])
    ]
    assert not wrong


def test_modules_with_heavy_libraries_are_imported_only_when_asked_for() -> None:
    """torch is no part of the base installation: what needs it is opened by name, in a function."""
    modules = ("bioelx.encoding.torch", "bioelx.ranking.qwen")
    # RANKER is one that nothing imports.
    wrong = [
        str(each)
        for imports in IMPORTS.values()
        for each in imports
        if each.name.startswith(modules) and not each.deferred and each.file != RANKER
    ]
    assert not wrong
