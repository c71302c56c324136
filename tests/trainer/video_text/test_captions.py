import numpy as np
import pytest

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.methods.simvtp.recipe import tiny
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.video_text.captions import CaptionReader, cut, joined, masked_words, text_column

MARKS = (0, 1, 2, 3, 4)


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(columns=("text.toy",)), columns=("frames", "text.toy"))


@pytest.fixture
def column(dataset):
    return text_column(with_columns(tiny(), ("frames", "text.toy")), dataset)


def test_a_column_says_which_ids_are_no_words(column):
    assert (column.name, column.vocab_size, column.pad_id, column.mask_id) == ("text.toy", 16, 0, 4)
    assert column.special_ids == MARKS


def test_a_column_of_an_older_version_is_refused(dataset):
    del dataset.manifest.columns["text.toy"].options["special_ids"]
    with pytest.raises(UsageError, match="text.toy of .* does not say which ids are no words: drop it with"):
        text_column(with_columns(tiny(), ("text.toy",)), dataset)


def test_one_caption_of_several_is_drawn_and_padded(dataset, column):
    reader = CaptionReader(column=column, max_ids=6)
    drawn = [reader(dataset, 3, np.random.default_rng(seed)) for seed in range(40)]
    rows = {tuple(each["ids"].tolist()) for each in drawn}
    assert rows == {(2, 6, 11, 3, 0, 0), (2, 11, 3, 0, 0, 0)}
    assert {int(each["num_ids"]) for each in drawn} == {3, 4}
    # As many numbers as captions; the same caption of another sample has the same number.
    numbers = {int(each["caption_id"]): each["ids"].tolist() for each in drawn}
    assert len(numbers) == 2
    again = [reader(dataset, 11, np.random.default_rng(seed)) for seed in range(40)]
    assert {int(each["caption_id"]) for each in again} == set(numbers)


def test_captions_are_joined_as_one_text(dataset, column):
    reader = CaptionReader(column=column, max_ids=8, captions="joined")
    sample = reader(dataset, 3, np.random.default_rng(0))
    assert sample["ids"].tolist() == [2, 6, 11, 11, 3, 0, 0, 0]
    assert sample["num_ids"] == 5
    rows = [np.array(row) for row in ([2, 7, 3], [2, 8, 9, 3], [2, 10, 3])]
    assert joined(rows, special_ids=MARKS).tolist() == [2, 7, 8, 9, 10, 3]
    assert joined(rows[:1], special_ids=MARKS).tolist() == [2, 7, 3]
    # A vocabulary without marks loses no word.
    assert joined([np.array([7, 8]), np.array([9])], special_ids=()).tolist() == [7, 8, 9]


def test_a_long_caption_keeps_its_end_mark(dataset, column):
    assert cut(np.array([2, 7, 8, 9, 3]), max_ids=4).tolist() == [2, 7, 8, 3]
    assert cut(np.array([2, 7, 3]), max_ids=3).tolist() == [2, 7, 3]
    reader = CaptionReader(column=column, max_ids=3)
    assert [row.tolist() for row in reader.rows(dataset, 3)] == [[2, 6, 3], [2, 11, 3]]


def test_words_are_hidden_one_by_one_and_marks_never():
    ids = np.array([2, *range(5, 15), 3, 0, 0])
    rng = np.random.default_rng(0)
    labels = np.stack([masked_words(ids, ratio=0.75, special_ids=MARKS, rng=rng) for _ in range(2000)])
    is_hidden = labels != -100
    assert not is_hidden[:, [0, 11, 12, 13]].any()
    assert (labels[is_hidden] == np.broadcast_to(ids, labels.shape)[is_hidden]).all()
    shares = is_hidden[:, 1:11].mean(0)
    assert abs(shares - 0.75).max() < 0.04  # four deviations
    assert abs(np.corrcoef(is_hidden[:, 1], is_hidden[:, 2])[0, 1]) < 0.1
