"""The split that the name of a list says, as ``k400_train.csv`` and ``testlist01.txt`` do."""

import re

from vfm.shards.splits import TEST, TRAIN, VAL, canonical_split

_WORD = re.compile(r"[A-Za-z]+")
_LIST = re.compile(r"list$")  # trainlist01


def split_of_name(stem: str) -> str | None:
    """Return the one split that the name of a list has among its words, None where it has none or several."""
    words = (_LIST.sub("", word.lower()) for word in _WORD.findall(stem))
    found = {canonical_split(word) for word in words} & {TRAIN, VAL, TEST}
    return found.pop() if len(found) == 1 else None
