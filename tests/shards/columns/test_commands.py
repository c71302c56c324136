import pytest

from vfm.shards.columns.commands import kind_of, target_spec, tokenize_command, verb_of
from vfm.shards.errors import UsageError
from vfm.video2token import targets
from vfm.video2token.target import TargetOptions


@pytest.mark.parametrize(
    ("column", "kind", "spec"),
    [
        ("hog", "hog", "hog"),
        ("hog*", "hog", "hog"),
        ("hog.skimage", "hog", "hog:skimage"),
        ("vq.demo", "vq", "vq:CODEBOOK"),
        ("vq.*", "vq", "vq:CODEBOOK"),
        ("text.words", "text", "text:VOCABULARY"),
        ("clip.*", "clip", "clip:TEACHER"),
        ("clip.b16-[ab]", "clip", "clip:TEACHER"),
        ("frames", "frames", "frames"),
    ],
)
def test_kind_and_spec_of_a_name_or_a_pattern(column, kind, spec):
    assert kind_of(column) == kind
    assert target_spec(column) == spec


def test_the_command_names_the_data_and_the_crop_that_it_knows(tmp_path):
    assert tokenize_command("vq.*") == "vfm tokenize DATA --target vq:CODEBOOK"
    assert (
        tokenize_command("hog", data=tmp_path, crop_px=112)
        == f"vfm tokenize {tmp_path} --target hog --crop 112"
    )
    assert tokenize_command("text.words", crop_px=112) == "vfm tokenize DATA --target text:VOCABULARY"
    assert tokenize_command("vectors.c3d") == "vfm import-hdf5 DATA FILE --name c3d"


def test_what_no_target_computes_has_another_verb():
    columns = ("frames", "vectors.c3d", "hog", "vq.mine")
    assert [verb_of(column) for column in columns] == ["extract", "import-hdf5", "tokenize", "tokenize"]


@pytest.mark.parametrize("kind", targets.names())
def test_every_kind_takes_the_spec_that_the_command_names(kind):
    """What cannot do without an argument has one in capitals; what can, none."""
    spec = target_spec(f"{kind}.*")
    if spec == kind:
        assert targets.build_target(spec, TargetOptions()).kind == kind
        return
    with pytest.raises(UsageError):
        targets.build_target(kind, TargetOptions())
    assert spec.partition(":")[2].isupper()
