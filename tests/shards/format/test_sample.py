"""What is known about a sample survives as JSON, the same bytes each time."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from vfm.shards.errors import DamageError
from vfm.shards.format.plan import Source
from vfm.shards.format.rejection import Rejection
from vfm.shards.format.sample import SampleMeta
from vfm.shards.io.typed import coerce

MakeMeta = Callable[..., SampleMeta]


@pytest.fixture
def sample(meta: MakeMeta, source: Callable[..., Source]) -> SampleMeta:
    return replace(meta(source("v1"), num_frames=3), captions=("über",), damage=("One frame is grey.",))


def test_round_trip(sample: SampleMeta) -> None:
    assert SampleMeta.from_json(sample.to_json()) == sample
    assert SampleMeta.from_json(sample.to_json()).to_json() == sample.to_json()


def test_json_is_canonical(sample: SampleMeta) -> None:
    data = sample.to_json()
    assert data.startswith(
        b'{"captions":["\xc3\xbcber"],"codec":"h264","color":{"space":"bt709"},"container":"mov",'
    )
    assert data.endswith(b'"width_px":32}\n')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"num_frames":3', b'"num_frames":4'),
        (b'"outcome":"ok"', b'"outcome":"no"'),
        (b'"codec"', b'"kodec"'),
        (b'"pts_s"', b'"pts"'),
        (b"{", b"["),
        (b"[0.0,0.5,1.0]", b"null"),
    ],
)
def test_damaged_json_is_refused(sample: SampleMeta, old: bytes, new: bytes) -> None:
    with pytest.raises(DamageError, match="damaged"):
        SampleMeta.from_json(sample.to_json().replace(old, new, 1))


@pytest.mark.parametrize("data", [b"[]", b"null", b'"text"', b"7"])
def test_json_that_is_no_sample_is_refused(data: bytes) -> None:
    with pytest.raises(DamageError, match="damaged"):
        SampleMeta.from_json(data)


@pytest.mark.parametrize("change", [{"num_frames": 0, "pts_s": ()}, {"num_frames": 2}, {"outcome": "fine"}])
def test_a_sample_that_contradicts_itself_is_refused(sample: SampleMeta, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="v1: "):
        replace(sample, **change)


def test_rejections_round_trip() -> None:
    rejection = Rejection(key="a", source="a.mp4", reason="empty", message="It has 0 bytes.", tool="vfm")
    assert coerce(rejection.to_dict(), Rejection, key="") == rejection
