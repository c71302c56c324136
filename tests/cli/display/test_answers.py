"""What a search found is shown in order, shortened where it would not fit."""

from vfm.cli.display.answers import answer_sections, answer_tables
from vfm.trainer.evaluation.search.answers import Answer, Hit, SearchResult
from vfm.trainer.recipes.requirements import Fit


def result(*answers: Answer, rerank: int | None = None) -> SearchResult:
    """Return what a search among 200 videos found."""
    return SearchResult(
        model="runs/r",
        step=3,
        ema=False,
        data="data/d",
        split="all",
        num_clips=5,
        num_crops=1,
        num_videos=200,
        rerank=rerank,
        fit=Fit(stride=1, seconds_apart=0.5, repeated_frames=0.0, enlargement=1.0),
        answers=answers,
    )


def answer(sentence: str, *hits: Hit) -> Answer:
    """Return an answer to a sentence whose words are all known."""
    return Answer(sentence=sentence, unknown_words=(), is_cut=False, hits=hits)


def hit(place: int, *captions: str, score: float = 0.5) -> Hit:
    """Return a video that was found."""
    return Hit(place=place, score=score, key=f"k{place}", source=f"k{place}.mp4", captions=captions)


def test_a_column_of_captions_where_a_video_has_one() -> None:
    shown = answer_tables(result(answer("a dog", hit(1, score=0.75), hit(2, "a\n cat ", "b", score=-0.25))))
    assert shown == (
        "place  score    key  source  caption\n"
        "    1  0.7500   k1   k1.mp4\n"
        "    2  -0.2500  k2   k2.mp4  a cat (+1)"
    )
    assert answer_tables(result(answer("a dog", hit(1)))).splitlines()[0] == "place  score   key  source"


def test_long_texts_are_shortened() -> None:
    long = answer("x" * 101, hit(1, "y" * 61), hit(2, "y" * 60))
    shown = answer_tables(result(long, answer("a dog", hit(1)))).splitlines()
    assert shown[0] == f"{'x' * 97}..."
    assert [line.split()[-1] for line in shown[2:4]] == [f"{'y' * 57}...", "y" * 60]
    assert shown[4:] == ["", "a dog", "place  score   key  source", "    1  0.5000  k1   k1.mp4"]


def test_a_sheet_draws_fifty() -> None:
    hits = [hit(place, "a dog") for place in range(1, 61)]
    first, second = answer_sections(result(answer("a dog", *hits), answer("a cat", hit(1))))
    assert first.title == "a dog: the first 50 of 200 videos"
    assert first.keys == tuple(f"k{place}" for place in range(1, 51))
    assert first.labels[49] == "50.  0.5000  k50  a dog"
    assert (second.title, second.labels) == ("a cat: the first 1 of 200 videos", ("1.  0.5000  k1",))


def test_the_head_of_the_table_says_what_the_score_is() -> None:
    found = answer("a dog", hit(1, score=-3.25))
    assert answer_tables(result(found)).split()[1] == "score"
    lines = answer_tables(result(found, rerank=50)).splitlines()
    assert lines[0].split("  ")[:2] == ["place", "matching score"]
    assert lines[1].split()[1] == "-3.2500"
