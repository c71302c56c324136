"""Parity with the released code of SimVTP, on the fixtures of its own outputs."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from support.fixtures import AUTOENCODER_SIZES, FINETUNED_SIZES, TEXT_SIZES, read_fixture
from vfm.shards.pixels.imagenet import MEAN, STD
from vfm.trainer.methods.simvtp.finetune import msrvtt
from vfm.trainer.methods.simvtp.finetuned import DualEncoder
from vfm.trainer.methods.simvtp.pretrain import Pairs, Simvtp
from vfm.trainer.methods.simvtp.recipe import base
from vfm.trainer.models.mae import pixel_targets
from vfm.trainer.models.vit import split_mask
from vfm.trainer.recipes.settings import override
from vfm.trainer.video_text.captions import TextColumn
from vfm.trainer.video_text.contrast import contrast_loss, unit

SIZES = AUTOENCODER_SIZES | TEXT_SIZES
SIZES |= {
    "objective.mask_ratio": "mask_ratio",
    "objective.word_ratio": "mlm_probability",
    "objective.temperature": "temperature",
}


class Reference:
    """A method with the weights of the fixture, and the pairs that the fixture was computed with."""

    def __init__(self, shared) -> None:
        self.fixture = read_fixture(shared, "simvtp_pretrain_a")
        given = {name.removeprefix("input/"): t for name, t in self.fixture.tensors.items()}
        is_masked = given["mlm_labels"] != -100
        (mask_id,) = given["masked_input_ids"][is_masked].unique().tolist()
        assert torch.equal(given["masked_input_ids"], given["input_ids"].masked_fill(is_masked, mask_id))
        column = TextColumn(
            name="text.bert",
            vocab_size=self.fixture.config["text_vocab"],
            pad_id=0,
            mask_id=mask_id,
            special_ids=(0,),
        )
        recipe = override(base(), ["model.text_dropout=0", "data.stride=4", *self.fixture.settings(SIZES)])
        self.method = Simvtp(recipe, column=column)
        self.method.load_state_dict(self.fixture.file().tensors)
        self.negatives: Tensor = given["vtm_negative_index"]
        self.videos: Tensor = given["videos"]
        mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (MEAN, STD))
        self.pairs = Pairs(
            pixels=self.videos * std + mean,
            is_hidden=given["mask"],
            ids=given["input_ids"],
            is_text=given["attention_mask"].bool(),
            hidden_words=is_masked.flatten().nonzero()[:, 0],
            caption_ids=torch.arange(len(self.videos)),
        )
        self.shown = self.method.text_embeddings(given["masked_input_ids"])
        visible, _ = split_mask(self.pairs.is_hidden)
        self.video = self.method.encoder.embed(self.videos, visible=visible)


@pytest.fixture
def reference(shared) -> Reference:
    return Reference(shared)


@pytest.mark.needs("shared")
def test_every_branch_says_what_the_reference_says(reference):
    method, expect, is_text = reference.method, reference.fixture.expect, reference.pairs.is_text
    with torch.no_grad():
        expect("text_embeddings", reference.shown)
        joint = method.joint(reference.video, reference.shown, is_text)
        expect("joint_encoder", joint)
        seen, read = joint.tensor_split([reference.video.shape[1]], dim=1)
        expect("mlm_logits", method.text_cls(read))
        visible, hidden = split_mask(reference.pairs.is_hidden)
        expect("pixel_prediction", method.decode(seen, visible=visible, hidden=hidden))
        config = method.encoder.config
        targets = pixel_targets(reference.pairs.pixels, reference.pairs.is_hidden, config=config)
        # Brought back from normalized pixels, whose rounding a flat tubelet makes larger.
        torch.testing.assert_close(
            targets, reference.fixture.tensors["output/pixel_target"], atol=1e-4, rtol=1e-4
        )
        told, found = method.text_features(reference.shown, is_text), method.video_features(reference.video)
        expect("text_feature", told)
        expect("video_feature", found)
        expect("vtc_similarity", unit(told) @ unit(found).T)
        others = method.joint(reference.video[reference.negatives], reference.shown, is_text)
        expect("vtm_logits", method.match_logits(torch.cat([joint, others]), is_text.repeat(2, 1)))


@pytest.mark.needs("shared")
def test_losses_and_gradients_are_those_of_the_reference(reference):
    method, tensors = reference.method, reference.fixture.tensors
    found = method.losses(reference.pairs, negatives=reference.negatives)
    ours = {"pixel": "pixel_loss", "mlm": "mlm_loss", "vtc": "vtc_loss", "vtm": "vtm_loss"}
    for theirs, name in ours.items():
        reference.fixture.expect(f"loss_{theirs}", found[name])
    parts = [found[name].item() for name in ours.values()]
    assert found["loss"].item() == pytest.approx(sum(parts), rel=1e-6)
    engine = tensors["output/engine_losses"].tolist()
    assert sorted(engine) == pytest.approx(sorted([*parts, sum(parts)]), abs=2e-5)

    found["loss"].backward()
    parameters = dict(method.named_parameters())
    prefix = "output/grad/"
    names = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
    assert names
    for name in names:
        gradient = parameters[name].grad
        assert gradient is not None
        reference.fixture.expect(f"grad/{name}", gradient)


@pytest.mark.needs("shared")
def test_clean_words_change_contrast_and_matching_alone(reference):
    masked = reference.method.losses(reference.pairs, negatives=reference.negatives)
    reference.method.objective = replace(reference.method.objective, matched_text="clean")
    clean = reference.method.losses(reference.pairs, negatives=reference.negatives)
    for name in ("pixel_loss", "mlm_loss"):
        assert clean[name].item() == pytest.approx(masked[name].item(), rel=1e-5)
    # Said by the network itself of captions with no word hidden.
    method, pairs = reference.method, reference.pairs
    words = method.text_embeddings(pairs.ids)
    joint = method.joint(
        torch.cat([reference.video, reference.video[reference.negatives]]),
        words.repeat(2, 1, 1),
        pairs.is_text.repeat(2, 1),
    )
    logits = method.match_logits(joint, pairs.is_text.repeat(2, 1))
    wanted = torch.tensor([1] * len(words) + [0] * len(words))
    expected = nn.functional.cross_entropy(logits, wanted).item()
    assert clean["vtm_loss"].item() == pytest.approx(expected, rel=1e-5)
    assert clean["vtm_loss"].item() != pytest.approx(masked["vtm_loss"].item(), rel=1e-3)


@pytest.mark.needs("shared")
def test_two_encoders_say_what_the_reference_says(shared):
    fixture = read_fixture(shared, "simvtp_finetune_a")
    recipe = override(msrvtt(), ["model.text_dropout=0", *fixture.settings(FINETUNED_SIZES | TEXT_SIZES)])
    model = DualEncoder(recipe, vocab_size=fixture.config["text_vocab"]).eval()
    model.load_pretrained(fixture.file().tensors)
    given = {name.removeprefix("input/"): tensor for name, tensor in fixture.tensors.items()}
    ids, is_text = given["input_ids"], given["attention_mask"].bool()
    with torch.no_grad():
        video, text = model.video_encoder(given["videos"]), model.text_vectors(ids, is_text)
        fixture.expect("video_embeddings", video)
        fixture.expect("text_embeddings", text)
        fixture.expect("similarity", unit(text) @ unit(video).T)
        loss = contrast_loss(text, video, temperature=0.05, caption_ids=torch.arange(len(text)))
        fixture.expect("loss", loss)
        # A mean over padding depends on how much of it there is; one over the caption alone does not.
        longer, two_more = nn.functional.pad(ids, (0, 2)), nn.functional.pad(is_text, (0, 2))
        fixture.expect("text_embeddings_two_more_pads", model.text_vectors(longer, two_more))
        model.text_encoder.mean = "unpadded"
        alone = model.text_vectors(ids, is_text)
        torch.testing.assert_close(model.text_vectors(longer, two_more), alone, atol=1e-5, rtol=1e-5)
        assert (alone - text).abs().max() > 1e-3
