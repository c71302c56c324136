"""What a search found, as tables and as the lines of a contact sheet."""

from typing import TYPE_CHECKING

from vfm.cli.display import output

if TYPE_CHECKING:
    from vfm.trainer.evaluation.search.answers import Answer, Hit, SearchResult
    from vfm.video2token.preview.contact_sheet import Section

_MAX_CAPTION, _MAX_SENTENCE = 60, 100  # characters of them that are shown
_MOST_DRAWN = 50  # videos for a sentence, that a picture has room for


def answer_tables(found: "SearchResult") -> str:
    """Return a table for each sentence, the sentence above it where there are several."""
    score = "score" if found.rerank is None else "matching score"
    if len(found.answers) == 1:
        return _table(found.answers[0], score=score)
    return "\n\n".join(f"{_sentence(answer)}\n{_table(answer, score=score)}" for answer in found.answers)


def answer_sections(found: "SearchResult") -> "list[Section]":
    """Return what is drawn of each sentence: its first 50 videos, with place, score, key and a caption."""
    from vfm.video2token.preview.contact_sheet import Section

    drawn = [(answer, answer.hits[:_MOST_DRAWN]) for answer in found.answers]
    return [
        Section(
            title=f"{_sentence(answer)}: the first {len(hits)} of {found.num_videos} videos",
            keys=tuple(hit.key for hit in hits),
            labels=tuple(map(_label, hits)),
        )
        for answer, hits in drawn
    ]


def _table(answer: "Answer", *, score: str) -> str:
    has_captions = any(hit.captions for hit in answer.hits)
    header = ("place", score, "key", "source", *(["caption"] if has_captions else []))
    rows = [
        (hit.place, _score(hit), hit.key, hit.source, *([_caption(hit)] if has_captions else []))
        for hit in answer.hits
    ]
    return output.table(header, rows)


def _sentence(answer: "Answer") -> str:
    return _shortened(answer.sentence, _MAX_SENTENCE)


def _label(hit: "Hit") -> str:
    return "  ".join(filter(None, (f"{hit.place}.", _score(hit), hit.key, _caption(hit))))


def _score(hit: "Hit") -> str:
    return f"{hit.score:.4f}"


def _caption(hit: "Hit") -> str:
    """Return the first caption of a video, shortened; how many others there are stands behind it."""
    if not hit.captions:
        return ""
    first, others = _shortened(hit.captions[0], _MAX_CAPTION), len(hit.captions) - 1
    return f"{first} (+{others})" if others else first


def _shortened(text: str, limit: int) -> str:
    """Return a text in one line; of a long one the beginning."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
