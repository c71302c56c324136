import pytest

from vfm.shards.errors import UsageError
from vfm.video2token.jobs.import_hdf5.matching import Named, match

SAMPLES = [Named("a-1", "x/a.mp4"), Named("b-2", "x/b.tar.mp4"), Named("c-3", "y/c.mp4")]


@pytest.mark.parametrize(
    "ids",
    [
        ["a-1", "b-2", "c-3"],
        ["x/a.mp4", "x/b.tar.mp4", "y/c.mp4"],
        ["x/a", "x/b.tar", "y/c"],
        ["a.mp4", "b.tar.mp4", "c.mp4"],
        ["a", "b.tar", "c"],
        ["a", "b-2", "y/c.mp4"],
    ],
)
def test_an_id_is_a_key_a_path_or_a_name(ids: list[str]) -> None:
    found = match([*reversed(ids), "nobody"], SAMPLES)
    assert (found.ids, found.left_out) == (tuple(ids), ("nobody",))


def test_a_key_comes_before_a_name() -> None:
    samples = [Named("one", "two.mp4"), Named("two", "one.mp4")]
    assert match(["one", "two"], samples).ids == ("one", "two")


def test_what_is_ambiguous_is_named() -> None:
    segments = [Named("a-1", "a.mp4"), Named("a-2", "a.mp4"), Named("b-1", "b.mp4")]
    with pytest.raises(
        UsageError,
        match=r"1 id of the file cannot be told apart \(a means a-1 and a-2\): use the samples' keys",
    ):
        match(["a", "b"], segments)
    with pytest.raises(UsageError, match=r"\(b and b\.mp4 both mean b-1\)"):
        match(["a-1", "a-2", "b", "b.mp4"], segments)
    many = [Named(f"{name}-{i}", f"{name}.mp4") for name in "abcde" for i in range(2)]
    with pytest.raises(UsageError, match=r"5 ids of the file .* c means c-0 and c-1; and 2 more\)"):
        match(list("abcde"), many)


def test_what_is_missing_is_named_with_what_there_is() -> None:
    with pytest.raises(
        UsageError,
        match=r"2 of 3 samples are not in the file \(x/b\.tar\.mp4, y/c\.mp4; its ids of no sample: q\): add",
    ):
        match(["a", "q"], SAMPLES)
    with pytest.raises(UsageError, match=r"3 of 3 samples .* its ids of no sample: none\)"):
        match([], SAMPLES)
