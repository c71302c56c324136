"""Imports point one way, cli to trainer or video2token to shards, and heavy ones stay out of start-up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "shards": {"shards"},
    "video2token": {"video2token", "shards"},
    "trainer": {"trainer", "shards"},
    "cli": {"cli", "trainer", "video2token", "shards"},
}
FORBIDDEN_LIBRARIES = {
    "shards": {"torch", "click", "av"},
    "video2token": {"click"},
    "trainer": {"click", "av"},
    "cli": set(),
}
MODULES = sorted(path for layer in MAY_IMPORT for path in (ROOT / layer).rglob("*.py"))


def imported_modules(path: Path) -> set[str]:
    """Return the dotted names that a file imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write vfm.<layer>"
            module = node.module or ""
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    names = imported_modules(path)
    ours = {name.split(".")[1] for name in names if name.startswith("vfm.")} & set(MAY_IMPORT)
    assert ours <= MAY_IMPORT[layer], f"{layer} imports {sorted(ours - MAY_IMPORT[layer])}"
    libraries = {name.split(".")[0] for name in names}
    assert not libraries & FORBIDDEN_LIBRARIES[layer]
    assert not libraries & set(MAY_IMPORT), "import vfm.<layer>, never the bare folder"


def test_every_layer_was_read() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(MAY_IMPORT)


def test_links_lead_to_the_four_folders() -> None:
    for layer in MAY_IMPORT:
        assert (ROOT / "src" / "vfm" / layer).resolve() == ROOT / layer


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from vfm.cli.main import group; from click.testing import CliRunner;"
        "assert CliRunner().invoke(group, ['--help']).exit_code == 0;"
        "print([m for m in ('torch', 'numpy', 'av', 'pyarrow', 'rich', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    )
    assert done.stdout.strip() == "[]"
