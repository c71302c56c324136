"""The walls of the house: which room may import which, what is private, how large things may grow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {
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

# A room is a folder or a file right inside a layer. What stands here is all that it may import of its layer.
_BASE = {"array_types", "errors", "parent", "progress", "wording"}
_READ = {"data", "distributed", "engine", "gather", "interrupts", "method", "models", "recipes", "threads"}
ROOMS: dict[str, dict[str, set[str]]] = {
    "shards": {
        **{room: set() for room in _BASE},
        "encoding": {"errors"},
        "open_files": {"errors"},
        "splits": {"errors"},
        "io": {"errors"},
        "order": {"array_types", "errors"},
        "clips": {"array_types", "errors"},
        "pixels": {"array_types", "errors"},
        "codecs": {"array_types", "errors", "io"},
        "columns": {"codecs", "encoding", "errors", "io", "pixels"},
        "format": {"array_types", "errors", "io", "pixels", "columns"},
        "writing": {"errors", "io", "format"},
        "reading": {
            *("array_types", "errors", "order", "open_files", "io"),
            *("pixels", "clips", "columns", "format", "splits"),
        },
        "verification": {"codecs", "errors", "io", "pixels", "columns", "format", "reading"},
        "hdf5": {"errors", "progress", "io", "columns", "format", "reading"},
    },
    "video2token": {
        "rejection": set(),
        "sources": {"container"},
        "teachers": set(),
        "tokenizers": set(),
        "execution": set(),
        "target": set(),
        "frame_target": {"target"},
        "container": {"rejection"},
        "picture": {"rejection"},
        "sampling": {"rejection"},
        "options": {"picture", "sampling"},
        "decoding": {"container", "execution", "options", "picture", "rejection", "sampling"},
        "analysis": {"container", "rejection"},
        "targets": {"frame_target", "target", "teachers", "tokenizers"},
        "preview": {"targets", "tokenizers"},
        "jobs": {
            "analysis",
            "container",
            "decoding",
            "execution",
            "options",
            "preview",
            "rejection",
            "sampling",
            "sources",
            "target",
            "targets",
            "tokenizers",
        },
    },
    "trainer": {
        **{room: set() for room in ("distributed", "gather", "interrupts", "launch", "models", "threads")},
        "online_teacher": set(),
        "recipes": set(),
        "forward_pass": {"recipes"},
        "method": {"forward_pass", "online_teacher", "recipes"},
        "data": {"distributed", "interrupts", "method", "recipes"},
        "engine": {"data", "distributed", "interrupts", "method", "recipes"},
        "vit_backbone": {"data", "method", "models", "recipes"},
        "video_text": {"gather", "method", "recipes"},
        "methods": {
            *(
                "data",
                "forward_pass",
                "gather",
                "method",
                "models",
                "online_teacher",
                "recipes",
                "video_text",
                "vit_backbone",
            ),
        },
        "registry": {"methods", "recipes"},
        "weights": {"engine", "method", "methods", "models", "recipes", "registry", "video_text"},
        "tasks": {"data", "method", "methods", "models", "recipes", "video_text"},
        "runs": _READ | {"methods", "online_teacher", "registry", "tasks", "video_text", "weights"},
        "evaluation": _READ | {"methods", "registry", "runs", "tasks", "video_text"},
        "export": _READ | {"methods", "registry", "runs", "tasks", "weights"},
    },
    "cli": {
        "display": set(),
        "options": {"display"},
        "demo": {"display"},
        "commands": {"display", "options", "demo"},
        "main": {"display", "commands"},
        "__main__": {"main"},
    },
}

# Folders that grow by a file for every kind; their names are the registry.
PLUG_INS = {
    "cli/commands": {"command"},
    "trainer/methods": set(),
    "trainer/tasks": set(),
    "trainer/weights/layouts": {"LAYOUTS"},
    "video2token/analysis/signals": {"WANTS_VECTORS", "build"},
    "video2token/decoding/decoders": {"decode", "version"},
    "video2token/execution/executors": set(),
    "video2token/sources/annotations": {"FORMAT"},
    "video2token/sources/lists/file_types": {"read"},
    "video2token/targets": {"Options", "build"},
}
MAX_MODULES, MAX_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 12, 300, 45, 5

# What is larger than the limits, and why.
MANY_PARAMETERS = {
    "shards/pixels/hog/compiled.py:_differences": "Numba takes arrays, not objects",
    "shards/pixels/hog/compiled.py:_fill": "Numba takes arrays, not objects",
    "shards/pixels/hog/compiled.py:_gradients": "Numba takes arrays, not objects",
    "shards/pixels/hog/compiled.py:_polar": "Numba takes arrays, not objects",
    "trainer/online_teacher.py:__call__": "what a teacher is made of, each by its name",
    "trainer/runs/run.py:run": "what is learned, from what, where to and by whom, each by its name",
    "video2token/teachers/frame_teacher.py:open_teacher": "what a teacher is made of, each by its name",
    "video2token/jobs/extract/extract.py:extract": "what, where to, how, and the user's choices by name",
    "video2token/jobs/extract/extract.py:extract_sources": "the same",
    "video2token/jobs/fit_codebook/fit_codebook.py:fit_codebook": "the same",
    "video2token/jobs/plan/estimate.py:estimate": "the same",
    "video2token/jobs/tokenize/tokenize.py:tokenize": "the same",
}

MODULES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
FOLDERS = sorted({path.parent for path in MODULES})
# Tests of the whole, of what they are made with, and of faults on the way through all layers.
WHOLE = {"faults", "golden", "support"}
# Tests of something that several modules do together: what they are about.
TOGETHER = {
    "cli/commands/test_extract_images.py": "images, from their sources to targets",
    "cli/commands/test_extract_signals.py": "vfm extract --signals",
    "cli/test_dataset_pages.py": "commands of the pages about data sets",
    "cli/test_how_to.py": "commands of the documentation",
    "cli/display/test_terminal.py": "a pty and a pipe",
    "shards/test_readers.py": "other libraries that read the shards",
    "trainer/evaluation/retrieval/test_golden.py": "the reference implementation",
    "trainer/methods/maskfeat/test_golden.py": "the reference implementation",
    "trainer/methods/simvtp/test_golden.py": "the reference implementation",
    "trainer/methods/umt_vl/test_golden.py": "the reference implementation",
    "trainer/methods/umt_vl/test_starting.py": "files of both stages",
    "trainer/methods/umt/test_golden.py": "the reference implementation",
    "trainer/methods/vimpac/test_golden.py": "the reference implementation",
    "trainer/methods/vimpac/test_ranks.py": "several processes",
    "trainer/video_text/test_ranks.py": "several processes",
    "trainer/runs/test_several_columns.py": "frames and a target column, from recipe to evaluation",
    "video2token/decoding/decoders/test_matrix.py": "every decoder",
    "video2token/picture/test_converter_exact.py": "swscale's own arithmetic",
    "video2token/sources/annotations/test_formats.py": "every published format, by one table",
    "video2token/sources/lists/test_lists.py": "every kind of list",
}


def of_root(path: Path) -> str:
    """Return a path as it stands in the tables above."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text())


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for all that a file imports anywhere, inside functions and for types too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write vfm.<layer>"
            yield from ((node.module or "", alias.name) for alias in node.names)


def room_of(path: Path) -> str:
    """Return the room that a file lies in."""
    return path.relative_to(ROOT).with_suffix("").parts[1]


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Yield all functions and methods of a file."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def num_code_lines(function: ast.FunctionDef) -> int:
    """Return the length of a function without its docstring, which may be as long as it needs to be."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    num_lines = (function.end_lineno or 0) - function.lineno + 1
    return num_lines - ((docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0)


def max_parameters(function: ast.FunctionDef) -> int:
    """Return how many parameters a function may have: one more where all but one go by name."""
    return MAX_PARAMETERS + (num_positional(function) <= 1)


def num_positional(function: ast.FunctionDef) -> int:
    """Return how many arguments a function takes by their place, beside ``self``."""
    given = function.args.posonlyargs + function.args.args
    return sum(each.arg not in {"self", "cls"} for each in given)


@pytest.mark.parametrize("path", MODULES, ids=of_root)
def test_imports_point_one_way(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    names = {f"{module}.{name}" for module, name in imported(path)}
    ours = {name.split(".")[1] for name in names if name.startswith("vfm.")} & set(LAYERS)
    assert ours <= LAYERS[layer], f"{layer} imports {sorted(ours - LAYERS[layer])}"
    libraries = {name.split(".")[0] for name in names}
    assert not libraries & FORBIDDEN_LIBRARIES[layer]
    assert not libraries & set(LAYERS), "import vfm.<layer>, never the bare folder"


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name not in LAYERS], ids=of_root)
def test_a_room_imports_what_the_table_allows(path: Path) -> None:
    layer, room = path.relative_to(ROOT).parts[0], room_of(path)
    inside = f"vfm.{layer}."
    names = (f"{module}.{name}" for module, name in imported(path))
    rooms = {name.removeprefix(inside).split(".")[0] for name in names if name.startswith(inside)}
    assert rooms - {room} <= ROOMS[layer][room]


def test_the_table_has_no_loop_and_no_room_that_is_not_there() -> None:
    for layer, rooms in ROOMS.items():
        there = {room_of(path) for path in MODULES if path.relative_to(ROOT).parts[0] == layer}
        assert set(rooms) == there - {"__init__"}
        placed: set[str] = set()
        while placed != set(rooms):
            free = {room for room, below in rooms.items() if below <= placed} - placed
            assert free, f"{layer}: these import each other: {sorted(set(rooms) - placed)}"
            placed |= free


@pytest.mark.parametrize("path", MODULES, ids=of_root)
def test_nothing_private_crosses_a_folder(path: Path) -> None:
    folder = "vfm." + ".".join(path.parent.relative_to(ROOT).parts)
    for module, name in imported(path):
        if not module.startswith("vfm"):
            continue
        is_private = name.startswith("_") and not name.startswith("__")
        assert not is_private or module.rpartition(".")[0] == folder, f"{module}.{name}"
        assert not any(part.startswith("_") for part in module.split(".")), module


@pytest.mark.parametrize("folder", FOLDERS, ids=of_root)
def test_a_folder_can_be_seen_at_a_glance(folder: Path) -> None:
    num_modules = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
    assert num_modules <= MAX_MODULES or of_root(folder) in PLUG_INS


@pytest.mark.parametrize("path", MODULES, ids=of_root)
def test_files_and_functions_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES
    for function in functions(path):
        name = f"{of_root(path)}:{function.name}"
        assert num_code_lines(function) <= MAX_FUNCTION_LINES, name
        num_parameters = num_positional(function) + len(function.args.kwonlyargs)
        assert num_parameters <= max_parameters(function) or name in MANY_PARAMETERS, name


def test_no_exception_is_out_of_date() -> None:
    many = set()
    for path in MODULES:
        for function in functions(path):
            name = f"{of_root(path)}:{function.name}"
            num_parameters = num_positional(function) + len(function.args.kwonlyargs)
            many |= {name} if num_parameters > max_parameters(function) else set()
    assert many == set(MANY_PARAMETERS)


@pytest.mark.parametrize("folder", sorted(PLUG_INS))
def test_plug_ins_have_the_names_of_their_contract(folder: str) -> None:
    allowed = {"importlib", "pkgutil", "typing", "vfm.shards.errors", "vfm.cli"}
    for path in sorted((ROOT / folder).glob("*.py")):
        defined = {node.name for node in tree(path).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        defined |= {
            target.id
            for node in tree(path).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        defined |= {name for _, name in imported(path)}
        if path.name != "__init__.py":
            assert defined >= PLUG_INS[folder], path.name
            continue
        modules = {node.module for node in tree(path).body if isinstance(node, ast.ImportFrom)}
        modules |= {a.name for node in tree(path).body if isinstance(node, ast.Import) for a in node.names}
        assert modules <= allowed, f"{folder}/__init__.py imports {sorted(map(str, modules - allowed))}"


def test_tests_lie_where_the_code_lies() -> None:
    tests = ROOT / "tests"
    for path in sorted(tests.rglob("test_*.py")):
        inside = path.relative_to(tests)
        if len(inside.parts) == 1 or inside.parts[0] in WHOLE:
            continue
        module = ROOT / inside.parent / path.name.removeprefix("test_")
        assert module.exists() != (inside.as_posix() in TOGETHER), f"{inside} tests no module of its name"


def test_every_layer_was_read() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(LAYERS)


def test_links_lead_to_the_four_folders() -> None:
    for layer in LAYERS:
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
