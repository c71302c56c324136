"""RandAugment of clips: operations and strengths as timm has them, draws from a generator of one's own."""

import random

import numpy as np
import pytest
from PIL import Image
from timm.data import auto_augment

from vfm.shards.errors import UsageError
from vfm.trainer.data.rand_augment import RandAugment, augmented, parse_policy, strength_of

NAMES = auto_augment._RAND_INCREASING_TRANSFORMS
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 24, 30, 3), np.uint8)
BICUBIC = {"resample": Image.Resampling.BICUBIC, "fillcolor": (128, 128, 128)}


@pytest.mark.parametrize("level", [0.0, 3.3, 7.0, 9.9])
@pytest.mark.parametrize("name", NAMES)
def test_operations_and_strengths_are_those_of_timm(monkeypatch, name, level):
    for sign, drawn in ((1, 0.1), (-1, 0.9)):
        monkeypatch.setattr(random, "random", lambda drawn=drawn: drawn)
        of_level = auto_augment.LEVEL_TO_ARG[name]
        arguments = of_level(level, {}) if of_level else ()
        strength = strength_of(name, level=level / 10, sign=sign)
        assert [strength] == pytest.approx(list(arguments or (0.0,)))
        expected = [
            np.asarray(auto_augment.NAME_TO_OP[name](Image.fromarray(frame), *arguments, **BICUBIC))
            for frame in FRAMES
        ]
        np.testing.assert_array_equal(augmented(FRAMES, [(name, strength)]), expected)


def test_no_bits_at_all_are_black():  # where timm asks Pillow for what it refuses
    assert strength_of("PosterizeIncreasing", level=1.0, sign=1) == 0
    assert not augmented(FRAMES, [("PosterizeIncreasing", 0)]).any()


def test_operations_come_one_after_the_other_and_the_same_for_all_frames():
    operations = [("Rotate", 20.0), ("Invert", 0.0), ("TranslateXRel", 0.3)]
    expected = FRAMES
    for operation in operations:
        expected = augmented(expected, [operation])
    found = augmented(FRAMES, operations)
    np.testing.assert_array_equal(found, expected)
    still = augmented(np.repeat(FRAMES[:1], 3, axis=0), operations)
    assert (still == still[0]).all()
    assert augmented(FRAMES, []) is FRAMES


def test_what_is_drawn_follows_from_the_generator_and_the_policy():
    policy = parse_policy("rand-m7-n4-mstd0.5-inc1")
    assert policy == RandAugment(num_operations=4, magnitude=7, magnitude_std=0.5, probability=0.5)
    state = random.getstate()
    drawn = [policy.draw(np.random.default_rng(seed)) for seed in range(4000)]
    assert drawn[:50] == [policy.draw(np.random.default_rng(seed)) for seed in range(50)]
    assert random.getstate() == state
    # Each of four is done with probability 1/2: 2 in the mean, its standard error 1 / sqrt(4000) = 0.016.
    assert np.mean([len(operations) for operations in drawn]) == pytest.approx(2.0, abs=0.06)
    counts = {name: sum(named == name for operations in drawn for named, _ in operations) for name in NAMES}
    assert min(counts.values()) > 400
    assert max(counts.values()) < 680
    degrees = np.array([strength for one in drawn for name, strength in one if name == "Rotate"]) / 3
    assert np.abs(degrees).mean() == pytest.approx(7.0, abs=0.1)
    assert np.abs(degrees).std() == pytest.approx(0.5, abs=0.06)
    assert (degrees > 0).mean() == pytest.approx(0.5, abs=0.1)


def test_strengths_end_at_ten_and_may_be_uniform():
    strongest = RandAugment(num_operations=60, magnitude=9.9, magnitude_std=3.0, probability=1.0)
    drawn = [abs(s) / 3 for name, s in strongest.draw(np.random.default_rng(0)) if name == "Rotate"]
    assert max(drawn) <= 10
    uniform = parse_policy("rand-m8-n1-mstd101-p1-inc1")
    assert np.isinf(uniform.magnitude_std)
    levels = [
        abs(strength) / 3
        for seed in range(3000)
        for name, strength in uniform.draw(np.random.default_rng(seed))
        if name == "Rotate"
    ]
    assert 0 <= min(levels) < 1
    assert 7 < max(levels) <= 8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rand-m7-n4-mstd0.5", "is not a policy of RandAugment"),
        ("augmix-m7-inc1", "is not a policy of RandAugment"),
        ("", "is not a policy of RandAugment"),
        ("rand-m7-w0-inc1", "is not a policy of RandAugment"),
        ("rand-mx-inc1", "write it as rand-m7-n4-mstd0.5-p0.5-inc1"),
    ],
)
def test_other_policies_are_refused(text, told):
    with pytest.raises(UsageError, match=told):
        parse_policy(text)
