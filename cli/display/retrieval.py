"""The tables of how well texts and videos found each other, and of what was chosen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vfm.cli.display import output

if TYPE_CHECKING:
    from vfm.trainer.evaluation.multiple_choice.result import MultipleChoiceResult
    from vfm.trainer.evaluation.retrieval.figures import Ranking, Recalls
    from vfm.trainer.evaluation.retrieval.result import RetrievalResult

_HEADER = (
    *("run", "direction", "R@1 %", "95 % interval", "R@5 %", "R@10 %", "R@50 %", "MdR", "MnR"),
    *("queries", "candidates"),
)


def retrieval_table(results: "Sequence[RetrievalResult]") -> str:
    """Return two rows for each result, texts that search videos and videos that search texts, then chance.

    Args:
        results: over the same samples, one or more.
    """
    rows = [_row(_name(result), *told) for result in results for told in _directions(result)]
    rows += [_chance(*told) for told in _directions(results[0])]
    return output.table(_HEADER, rows)


def choice_table(results: "Sequence[MultipleChoiceResult]") -> str:
    """Return a row for each result of a multiple choice, then chance.

    Args:
        results: over the same questions, one or more.
    """
    first = results[0]
    rows = [_choice_row(result) for result in results]
    rows.append(("chance", f"{100 * first.chance_rate:.1f}", "", first.num_questions, first.num_missing))
    return output.table(("run", "right %", "95 % interval", "questions", "left out"), rows)


def _choice_row(result: "MultipleChoiceResult") -> tuple[object, ...]:
    low, high = result.accuracy_interval
    told = [
        *(["not finetuned"] if result.is_zero_shot else []),
        *([] if result.is_matched else ["by vectors alone"]),
    ]
    run = f"{result.run} ({', '.join(told)})" if told else result.run
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    return run, f"{100 * result.accuracy:.1f}", interval, result.num_questions, result.num_missing


def _name(result: "RetrievalResult") -> str:
    """Return which weights these are, and what is not the same of all."""
    told = [
        *(["not finetuned"] if result.is_zero_shot else []),
        *([] if result.rerank is None else [f"first {result.rerank} ranked anew"]),
    ]
    return f"{result.run} ({', '.join(told)})" if told else result.run


def _directions(result: "RetrievalResult") -> tuple[tuple[str, "Ranking"], ...]:
    return ("text to video", result.text_to_video), ("video to text", result.video_to_text)


def _row(run: str, direction: str, ranking: "Ranking") -> tuple[object, ...]:
    low, high = ranking.recall_at_1_interval
    recalls = _percent(ranking, interval=f"{100 * low:.1f} to {100 * high:.1f}")
    ranks = f"{ranking.median_rank:g}", f"{ranking.mean_rank:.1f}"
    return run, direction, *recalls, *ranks, ranking.num_queries, ranking.num_candidates


def _chance(direction: str, ranking: "Ranking") -> tuple[object, ...]:
    recalls = _percent(ranking.chance, interval="")
    return "chance", direction, *recalls, "", "", ranking.num_queries, ranking.num_candidates


def _percent(found: "Recalls", *, interval: str) -> tuple[str, ...]:
    recalls = found.recall_at_1, found.recall_at_5, found.recall_at_10, found.recall_at_50
    first, *others = (f"{100 * recall:.1f}" for recall in recalls)
    return first, interval, *others
