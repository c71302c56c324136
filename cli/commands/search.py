"""``vfm search``: videos of a dataset that a sentence finds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vfm.cli.display import output
from vfm.cli.display.answers import answer_sections, answer_tables
from vfm.cli.display.next_step import say_next
from vfm.cli.display.progress import make_progress
from vfm.cli.options import shared

if TYPE_CHECKING:
    from vfm.trainer.evaluation.search.answers import SearchResult

_SHEET = Path("search.png")


@click.command()
@click.argument("model", type=shared.PATH)
@click.argument("data", type=shared.PATH)
@click.argument("sentences", nargs=-1, required=True, metavar="SENTENCE...")
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="Videos for each sentence."
)
@click.option(
    "--rerank",
    type=click.IntRange(min=1),
    metavar="K",
    help="Order the first K by what the model's matching head says of sentence and video, as UMT's has one; "
    "unless given, by vectors alone.",
)
@click.option("--split", default="all", show_default=True, metavar="NAME", help="Search this split alone.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PNG",
    help="Draw what was found as a contact sheet.  [default: search.png]",
)
@click.option("--no-sheet", is_flag=True, help="Draw nothing.")
@click.option(
    "--vocabulary",
    type=shared.PATH,
    metavar="PATH",
    help="A tokenizer.json or vocab.txt, or its folder; unless given, that of the captions' column in DATA, "
    "or in the dataset that MODEL learned from.",
)
@shared.views(clips="their vectors are averaged.", crops="averaged too.")
@click.option("--ema", is_flag=True, help="Of a run: take the average of its weights.")
@shared.device()
@shared.accept_data()
@shared.workers("read the dataset")
@shared.threads()
@shared.as_json()
def command(model: Path, data: Path, sentences: tuple[str, ...], **given: Any) -> None:
    """Find the videos of dataset DATA that fit a SENTENCE, as MODEL sees them.

    MODEL is a run of `vfm finetune retrieve`, a pretraining of umt_vl, or a file or folder of such weights.
    DATA needs frames and no captions. The score is the cosine of sentence and video, with --rerank the logit
    that they match: it ranks videos for one sentence, and says little across sentences. The first 50 for each
    sentence are drawn below each other, frames over time.

    \b
    Examples:
      vfm search runs/retriever data/mine "a person pours water"
      vfm search runs/retriever data/mine "a dog runs" "a dog sleeps" --top 5 --sheet dogs.png
      vfm search runs/umt-vl data/mine "a dog runs" --rerank 50
      vfm search retriever.safetensors data/mine "a red car" --vocabulary weights/bert-base-uncased
      vfm search runs/retriever data/mine "a red car" --json --no-sheet | jq '.answers[].hits[].key'
    """
    from vfm.trainer.evaluation.search.search import SearchOptions, search
    from vfm.trainer.runs.folder import RunOptions

    sheet = _sheet(given["sheet"], is_wanted=not given["no_sheet"])
    names = ("top", "num_clips", "num_crops", "split", "ema", "vocabulary", "rerank")
    found = search(
        model,
        data=data,
        sentences=sentences,
        how=SearchOptions(**{name: given[name] for name in names}),
        options=RunOptions(
            device=given["device"],
            num_threads=given["num_threads"],
            num_workers=given["num_workers"],
            accept_data=given["accept_data"],
            say=output.say,
            progress=make_progress(),
        ),
    )
    _show(found, sheet, as_json=given["as_json"])
    say_next("inspect", data, found.answers[0].hits[0].key)


def _sheet(path: Path | None, *, is_wanted: bool) -> Path | None:
    """Return where to draw, before anything is computed; None where nothing is."""
    from vfm.video2token.preview.contact_sheet import check_sheet
    from vfm.video2token.preview.images import is_ours

    if not is_wanted:
        if path is not None:
            raise click.UsageError("--sheet and --no-sheet contradict each other: give one of them.")
        return None
    if path is None and _SHEET.exists() and not is_ours(_SHEET):
        raise click.UsageError(
            f"{_SHEET} is there and was not drawn by vfm: choose another file with --sheet, or --no-sheet."
        )
    check_sheet(path or _SHEET)
    return path or _SHEET


def _show(found: "SearchResult", sheet: Path | None, *, as_json: bool) -> None:
    """Show what was found, then draw it: a disk that is full does not take the answers along."""
    from vfm.video2token.preview.contact_sheet import make_labelled_sheet

    if as_json:
        output.show_json({**found.to_dict(), "sheet": None if sheet is None else str(sheet)})
    else:
        output.show(answer_tables(found))
    if sheet is not None:
        make_labelled_sheet(Path(found.data), sheet, answer_sections(found))
        output.say(f"contact sheet: {sheet}")
