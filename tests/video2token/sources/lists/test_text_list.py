"""Lists of text: what stands between cells, blank lines, and other encodings."""

from pathlib import Path

import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.sources.listing import list_sources
from vfm.video2token.sources.lists.text_list import read_text


@pytest.mark.parametrize(
    ("text", "delimiter", "columns"),
    [
        ("path,label\n", ",", {"path": "path", "label": "label"}),
        (" Path\tLabel, too\tz\n", "\t", {"path": "Path", "label, too": "Label, too", "z": "z"}),
        ("path;label;a,b\n", ";", {"path": "path", "label": "label", "a,b": "a,b"}),
        ("path\n", ",", {"path": "path"}),
        ('\n\n"a,b",c\n', ",", {"a,b": "a,b", "c": "c"}),
        ('"path,label\n', ",", {'"path,label': '"path,label'}),
        ("", ",", {}),
    ],
)
def test_columns_are_cut_where_it_gives_most(
    tmp_path: Path, text: str, delimiter: str, columns: dict[str, str]
) -> None:
    (tmp_path / "l.csv").write_text(text)
    found = read_text(tmp_path / "l.csv", delimiters=",\t;")
    assert (found.delimiter, found.columns) == (delimiter, columns)


def test_lines_and_rows_know_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(b'\xef\xbb\xbf\r\n\r\nPath,Caption\r\n\r\na.mp4,"one\r\ntwo"\r\nb.mp4,three\r\n')
    found = read_text(path, delimiters=",")
    assert [(line.where, line.text) for line in found.lines()][:2] == [
        (f"{path} line 3", "Path,Caption"), (f"{path} line 5", 'a.mp4,"one')
    ]  # fmt: skip
    rows = [(row.where, dict(row.cells)) for row in found.rows()]
    assert rows == [
        (f"{path} line 6", {"path": "a.mp4", "caption": "one\r\ntwo"}),
        (f"{path} line 7", {"path": "b.mp4", "caption": "three"}),
    ]
    assert list(found.rows()) == list(found.rows())


TEXTS = {"l.csv": "path,label\nü.mp4,run\n", "l.txt": "ü.mp4 0\n", "l.tsv": "path\tlabel\nü.mp4\trun\n"}
LATIN1_FAULTS = {"l.csv": (2, "fc"), "l.txt": (1, "fc"), "l.tsv": (2, "fc")}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    ("encoding", "kind"), [("utf-16", "UTF-16"), ("utf-16-be", "UTF-16"), ("latin-1", "LATIN1")]
)
def test_text_in_another_encoding_is_told_with_the_remedy(
    tmp_path: Path, name: str, encoding: str, kind: str
) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / name).write_bytes(mark + TEXTS[name].encode(encoding))
    with pytest.raises(UsageError) as caught:
        list_sources([tmp_path / name], missing="quarantine")
    line, byte = {"utf-16": (1, "ff"), "utf-16-be": (1, "fe"), "latin-1": LATIN1_FAULTS[name]}[encoding]
    assert str(caught.value) == (
        f"{tmp_path / name} is not UTF-8 text (line {line}, byte 0x{byte}): re-save it as UTF-8, as with "
        f"iconv -f {kind} -t UTF-8."
    )


@pytest.mark.parametrize("name", [*TEXTS, "l.json", "l.jsonl"])
def test_letters_of_two_bytes_without_a_mark_are_told(tmp_path: Path, name: str) -> None:
    text = TEXTS.get(name, '{"path": "ü.mp4"}').replace("ü", "u")
    (tmp_path / name).write_bytes(text.encode("utf-16-le"))
    with pytest.raises(UsageError, match=r"line 1, byte 0x00\): .* iconv -f UTF-16LE -t UTF-8"):
        list_sources([tmp_path / name], missing="quarantine")


@pytest.mark.parametrize("name", ["l.json", "l.jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_json_in_another_encoding_is_told(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).write_bytes('{"path": "ü.mp4"}'.encode(encoding))
    with pytest.raises(
        UsageError, match=rf"{name} is not UTF-8 text \(line 1, byte 0xf[cf]\): re-save it as UTF-8"
    ):
        list_sources([tmp_path / name], missing="quarantine")
