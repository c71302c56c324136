"""A split has one name, whatever a list calls it."""

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.splits import canonical_split, check_split


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        *((name, "train") for name in ("train", "training", "trn", "Train", "TRAINING")),
        *((name, "val") for name in ("val", "valid", "validate", "validation", "Validation", "VAL")),
        *((name, "test") for name in ("test", "testing", "Test")),
        *((name, name) for name in ("dev", "Dev", "testset", "train1", "val ", "trainval", "fold-1", "")),
        ("All", "all"),
    ],
)
def test_each_split_has_one_name(name: str, canonical: str) -> None:
    assert canonical_split(name) == canonical


def test_a_name_for_samples_is_made_canonical() -> None:
    assert [check_split(name) for name in ("Validate", "test", "")] == ["val", "test", ""]


@pytest.mark.parametrize("name", ["all", "ALL"])
def test_no_split_is_called_all(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_split(name)
    assert str(caught.value) == (
        f"No split can be called {name!r}, which stands for every sample: give these samples another split, "
        "or none."
    )
