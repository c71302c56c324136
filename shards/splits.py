"""What a split is called: one word for each of those that lists write in several ways."""

from vfm.shards.errors import UsageError

TRAIN, VAL, TEST = "train", "val", "test"
# Selects every sample, so no split may be called so.
ALL = "all"
# `dev` is not among them: some lists mean by it what is held out to choose by, others all that is not test.
_WORDS = {
    TRAIN: ("train", "training", "trn"),
    VAL: ("val", "valid", "validate", "validation"),
    TEST: ("test", "testing"),
    ALL: ("all",),
}
_CANONICAL = {word: name for name, words in _WORDS.items() for word in words}


def canonical_split(name: str) -> str:
    """Return the one name of a split: ``validation`` and ``Valid`` are ``val``, unknown names stay as is.

    Args:
        name: as a list or a person writes it; empty where it is unknown.
    """
    return _CANONICAL.get(name.lower(), name)


def check_split(name: str) -> str:
    """Return the one name of a split that samples are to have, see `canonical_split`.

    Raises:
        UsageError: it is ``all``, which selects every sample, or no name that a file can have.
    """
    split = canonical_split(name)
    if "/" in split or not split.isprintable():
        raise UsageError(f"No split can be called {name!r}: give these samples a name without / in it.")
    if split == ALL:
        raise UsageError(
            f"No split can be called {name!r}, which stands for every sample: give these samples another "
            "split, or none."
        )
    return split
