"""Keys are safe, readable, stable and unique."""

import hashlib
import os

import pytest

from vfm.shards.errors import UsageError
from vfm.shards.format.keys import check_key, derive_key

HOSTILE = [
    "-rf.mp4",
    "__key__.mp4",
    ".hidden.mp4",
    "..",
    "",
    "a b;rm -rf $(x).mp4",
    "видео/ü.mp4",
    "x" * 300 + ".mp4",
    os.fsdecode(b"caf\xe9\n.mp4"),
    "a/b/../c.mp4",
    "%s\x00.mp4",
]


@pytest.mark.parametrize(
    ("identity", "slug"),
    [
        ("walk/cam 1.mp4", "walk-cam-1"),
        ("v_Diving_g01_c02.avi", "v_Diving_g01_c02"),
        ("clip.part.2.mkv", "clip-part-2"),
        ("видео.mp4", "video"),
        ("noextension", "noextension"),
    ],
)
def test_a_key_is_a_slug_and_a_hash(identity: str, slug: str) -> None:
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    assert derive_key(identity) == f"{slug}-{digest}"


@pytest.mark.parametrize("identity", HOSTILE)
def test_any_name_gives_a_safe_key(identity: str) -> None:
    key = derive_key(identity)
    assert check_key(key) == key
    assert "." not in key
    assert len(key) <= 89


def test_names_that_look_alike_get_different_keys() -> None:
    names = ["a b.mp4", "a-b.mp4", "a_b.mp4", "a/b.mp4", "a b.avi", "a  b.mp4"]
    assert len({derive_key(name) for name in names}) == len(names)


def test_the_end_of_a_long_path_is_kept() -> None:
    assert derive_key("folder/" * 30 + "the_clip.mp4").startswith("folder-" * 2) is False
    assert "the_clip-" in derive_key("folder/" * 30 + "the_clip.mp4")


@pytest.mark.parametrize("key", ["a", "A-1_b", "_a", "x" * 120])
def test_good_keys(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "-a", "__a", ".a", "a b", "ü", "x" * 121, "a\n"])
def test_bad_keys(key: str) -> None:
    with pytest.raises(UsageError, match="cannot name a sample: use 1 to 120"):
        check_key(key)
