"""The split that the name of a list says."""

import pytest

from vfm.video2token.sources.split_names import split_of_name


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("trainlist01", "train"), ("testlist03", "test"), ("k400_train", "train"), ("val", "val"),
        ("something-something-v2-validation", "val"), ("kinetics_val_list_videos", "val"),
        ("LSMDC16_annos_training", "train"), ("EPIC_100_validation", "val"), ("MSRVTT_train.9k", "train"),
        ("charades_sta_test", "test"), ("results_2M_train", "train"), ("validate", "val"),
        ("train_val_videodatainfo", None), ("train_train2", "train"), ("val_training", None),
        ("vallist", "val"), ("metadata", None), ("all", None), ("contest", None), ("trainer", None),
        ("latest", None), ("attestations", None), ("", None),
    ],
)  # fmt: skip
def test_one_split_among_the_words_is_that_of_the_list(stem: str, split: str | None) -> None:
    assert split_of_name(stem) == split
