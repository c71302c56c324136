import json
import re
from pathlib import Path

import pytest

from vfm.shards.format.rejection import Rejection
from vfm.video2token import rejection
from vfm.video2token.rejection import REQUESTED, TRANSIENT, RejectReason, VideoRejected, is_retried

LAYER = Path(rejection.__file__).parent


def rejected(reason: str) -> Rejection:
    return Rejection(key="a", source="a.mp4", reason=reason, message="It is.", tool="pyav")


def test_every_reason_is_written_as_its_code_and_given_by_something() -> None:
    code = "".join(path.read_text() for path in LAYER.rglob("*.py") if path.name != "rejection.py")
    used = set(re.findall(r"RejectReason\.([A-Z_]+)", code))
    of_the_pool = {"TIMEOUT", "OOM"}  # what the pool tells of a task has the same codes
    assert used | of_the_pool == set(RejectReason.__members__)
    for name, reason in RejectReason.__members__.items():
        assert json.dumps(reason) == f'"{name.lower()}"'
        assert f"{VideoRejected(reason, 'It is.').reason}" == name.lower()


@pytest.mark.parametrize("reason", [*RejectReason, "of_a_later_version"])
def test_what_is_tried_again(reason: str) -> None:
    """Codes come from disk as plain text."""
    one = rejected(str(reason))
    assert not is_retried(one, retry="none")
    assert is_retried(one, retry="failed") == (reason in TRANSIENT)
    assert is_retried(one, retry="all") == (reason not in REQUESTED)
    assert not TRANSIENT & REQUESTED
