"""``vfm inspect``: look into a dataset, prove that it is sound, draw a contact sheet of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_pretrain
from vfm.cli.display.text import printable
from vfm.shards.wording import counted

if TYPE_CHECKING:
    from vfm.shards.reading.dataset import Dataset


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("key", required=False)
@click.option("--verify", is_flag=True, help="Check every hash, offset and pairing, and decode every JPEG.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PNG",
    help="Draw samples as a contact sheet, with their codes reconstructed where a vq column exists.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def command(data: Path, key: str | None, verify: bool, sheet: Path | None, as_json: bool) -> int:
    """Show what dataset DATA holds, or one sample of it in detail.

    KEY is a sample's key, an unambiguous beginning of one, or the path of its source. With --verify the exit
    code is 3 when anything is damaged.

    \b
    Examples:
      vfm inspect data/mine
      vfm inspect data/mine fight/fi001.mp4
      vfm inspect data/mine --verify
      vfm inspect data/mine --sheet sheet.png
      vfm inspect data/mine --json | jq .columns
    """
    found: dict[str, Any] = _sample(data, key) if key is not None else _summary(data)
    lines = found.pop("lines")
    status = 0
    if verify:
        found["findings"], status = _verify(data)
        lines += ["", *_finding_lines(found["findings"])]
    if sheet is not None:
        from vfm.video2token.preview.contact_sheet import make_sheet

        make_sheet(data, sheet, keys=None if key is None else [found["key"]])
        found["sheet"] = str(sheet)
        lines += ["", f"contact sheet: {sheet}"]
    click.echo(json.dumps(found, indent=2) if as_json else printable("\n".join(lines)))
    _say_next(data)
    return status


def _say_next(data: Path) -> None:
    """Say what a dataset is ready for: its extraction, the rest of its targets, or a training."""
    from vfm.shards.format.manifest import read_manifest
    from vfm.shards.reading.summary import summarize

    summary = summarize(data)
    if summary.num_pending:
        output.say("next: the same `vfm extract` again, to finish it")
        return
    say_pretrain(
        data,
        columns=[column.name for column in summary.columns if column.num_shards_done == summary.num_shards],
        splits=summary.splits,
        images=read_manifest(data).holds_images,
    )


def _summary(data: Path) -> dict[str, Any]:
    from vfm.cli.display.describe import summary_lines
    from vfm.shards.reading.summary import summarize

    summary = summarize(data)
    return {**summary.to_dict(), "lines": list(summary_lines(summary))}


def _sample(data: Path, text: str) -> dict[str, Any]:
    from dataclasses import asdict

    from vfm.cli.display.describe import sample_lines
    from vfm.shards.reading.dataset import open_dataset
    from vfm.shards.reading.summary import summarize

    summary = summarize(data)
    columns = [column.name for column in summary.columns if column.num_shards_done == summary.num_shards]
    dataset = open_dataset(data, columns=columns)
    index = dataset.find(text)
    meta = dataset.meta(index)
    members = _members(dataset, index, columns=columns)
    told = [{"column": column, "member": field, "holds": holds} for column, field, holds in members]
    words = _words(dataset, index, columns=columns)
    lines = list(sample_lines(meta, members, words=words))
    return {**asdict(meta), "members": told, "words": words, "lines": lines}


def _members(dataset: "Dataset", index: int, *, columns: list[str]) -> list[tuple[str, str, str]]:
    from vfm.cli.display.describe import size

    rows = []
    for name in columns:
        for field in dataset.manifest.columns[name].fields:
            holds = size(len(dataset.member(index, name, field)))
            if field.endswith(".npy"):
                array = dataset.array(index, name, field)
                span = f"{array.min()} to {array.max()}" if array.size else "empty"
                holds = f"{array.dtype} {list(array.shape)}, {span}, {holds}"
            rows.append((name, field, holds))
    return rows


def _words(dataset: "Dataset", index: int, *, columns: list[str]) -> dict[str, list[list[str]]]:
    """Return what the ids of each caption stand for, by text column that keeps its vocabulary."""
    from vfm.shards.columns.vocabulary import read_vocabulary

    found = {}
    for name in columns:
        options = dataset.manifest.columns[name].options
        if "tokenizer_sha256" in options:
            vocabulary = read_vocabulary(dataset.data / name, options)
            ids, num_ids = (dataset.array(index, name, field) for field in ("ids", "num_ids"))
            found[name] = [vocabulary.words(row[:n]) for row, n in zip(ids, num_ids, strict=True)]
    return found


def _verify(data: Path) -> tuple[list[dict[str, Any]], int]:
    from vfm.shards.errors import DamageError
    from vfm.shards.verification.verify import verify as find_damage

    findings = [{**finding.to_dict(), "told": str(finding)} for finding in find_damage(data)]
    is_damaged = any(finding["kind"] == "damage" for finding in findings)
    return findings, DamageError.exit_code if is_damaged else 0


def _finding_lines(findings: list[dict[str, Any]]) -> list[str]:
    if not findings:
        return ["verified: every hash, offset, pairing and JPEG is as it was written"]
    return [
        f"{counted(len(findings), 'finding')}:",
        *(f"  {finding['kind']}  {finding['told']}" for finding in findings),
    ]
