"""Options beside weights are read as plain values, and nothing of them is run."""

import json
import pickle
from argparse import Namespace
from pathlib import Path

import pytest

from support.weights import MakesFolder
from vfm.shards.errors import UsageError
from vfm.trainer.weights.options import read_options, write_options


@pytest.mark.parametrize("name", ["config.json", "args.pickle"])
def test_what_is_written_is_read(tmp_path, name):
    options = {"hid_dim": 64, "model": "efflayoutT,H|W", "halve_att": False, "load": None}
    write_options(tmp_path / "new" / name, options)
    assert read_options(tmp_path / "new" / name) == options


def test_a_pickle_that_runs_code_is_refused_and_nothing_is_run(tmp_path):
    made = tmp_path / "made"
    path = tmp_path / "args.pickle"
    for value in (Namespace(x=MakesFolder(made)), MakesFolder(made), {"x": 1}, Path("x")):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(UsageError, match="args.pickle is a pickle of more than plain arguments, which"):
            read_options(path)
    assert not made.exists()


def test_what_is_damaged_is_one_sentence(tmp_path):
    pickled = pickle.dumps(Namespace(x=list(range(1000))))
    damaged = {
        "args.pickle": [b"", b"hello", pickled[:100], pickled[:-1], b"\x80\x04" + b"\xff" * 50, b"x" * 2**21],
        "config.json": [b"", b"{", b"\xff\xfe\x00", b'{"a": }'],
    }
    for name, contents in damaged.items():
        for content in contents:
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UsageError, match=f"{name} cannot be read .*: fetch it again|more than plain"):
                read_options(tmp_path / name)
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(UsageError, match="holds a list, not options by name"):
        read_options(tmp_path / "config.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        read_options(tmp_path / "folder.json")
