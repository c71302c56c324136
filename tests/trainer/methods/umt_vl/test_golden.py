"""Parity with the released code of UMT's second stage, on the fixtures of its own outputs."""

import pytest
import torch
from torch.nn import functional

from support.fixtures import UMT_VL_SIZES, UMT_VL_STUDENT_SIZES, read_fixture
from vfm.trainer.data.clip_sampling import ClipSampling
from vfm.trainer.methods.umt.reader import StoredReader
from vfm.trainer.methods.umt.teaching import Teacher
from vfm.trainer.methods.umt_vl.negatives import draw_pairs, match_pairs, matching_weights
from vfm.trainer.methods.umt_vl.network import VisionEncoder
from vfm.trainer.methods.umt_vl.pretrain import Pairs, UmtVl
from vfm.trainer.methods.umt_vl.recipe import base
from vfm.trainer.models.distillation import align_loss
from vfm.trainer.models.vit import split_mask
from vfm.trainer.recipes.settings import override
from vfm.trainer.video_text.captions import TextColumn
from vfm.trainer.video_text.contrast import soft_contrast_loss, unit

SIZES = UMT_VL_SIZES | {
    "objective.mask_ratio": "video_mask_ratio",
    "objective.image_mask_ratio": "image_mask_ratio",
}
NOT_OURS = (
    "clip_teacher.",
    "text_encoder.bert.embeddings.position_ids",
    "text_encoder.cls.predictions.decoder.",
)


class Reference:
    """A method with the weights of the fixture, and the pairs that the fixture was computed with."""

    def __init__(self, shared, kind) -> None:
        self.kind = kind
        self.fixture = read_fixture(shared, "umt2_pretrain_a")
        config, tensors = self.fixture.config, self.fixture.tensors
        recipe = override(base(), ["model.drop_path=0", *self.fixture.settings(SIZES)])
        column = TextColumn(
            name="text.bert",
            vocab_size=config["vocab"],
            pad_id=0,
            mask_id=config["mask_id"],
            special_ids=(0,),
        )
        sampling = ClipSampling(clip_len=config["num_frames"])
        reads_nothing = StoredReader(
            attention=None, features=None, sampling=sampling, objective=recipe.objective
        )
        teacher = Teacher(dim=config["t_output_dim"], teaching=None, prepare=reads_nothing)
        self.method = UmtVl(recipe, teacher=teacher, column=column).eval()
        state = self.fixture.file().tensors
        self.method.load_state_dict({n: t for n, t in state.items() if not n.startswith(NOT_OURS)})
        labels = tensors["input/mlm_labels"]
        visible, _ = split_mask(self.said("mask"))
        self.pairs = Pairs(
            clips=tensors[f"input/{kind}"].transpose(1, 2),
            visible=visible,
            features=self.said("clip").permute(1, 2, 0, 3),
            ids=tensors["input/ids"],
            shown=tensors["input/mlm_ids"],
            is_text=tensors["input/att"].bool(),
            hidden_words=(labels != -100).flatten().nonzero()[:, 0],
            caption_ids=tensors["input/idx"],
        )
        self.matched = match_pairs(videos=tensors["input/vision_neg"], captions=tensors["input/text_neg"])

    def said(self, name):
        return self.fixture.tensors[f"output/{self.kind}_{name}"]

    def expect(self, name, found):
        self.fixture.expect(f"{self.kind}_{name}", found)


@pytest.fixture(params=["video", "image"])
def reference(shared, request) -> Reference:
    return Reference(shared, request.param)


@pytest.mark.needs("shared")
def test_every_branch_says_what_the_reference_says(reference):
    method, pairs, expect = reference.method, reference.pairs, reference.expect
    with torch.no_grad():
        tokens, student = method.see(pairs.clips, pairs.visible)
        expect("vision_embeds", tokens)
        expect("student", student)
        expect("pooled", method.vision_encoder.pool_norm(tokens.mean(1, keepdim=True)))
        read = method.bert.read(pairs.ids, pairs.is_text)
        reference.fixture.expect("text_embeds", read)
        text, video = method.text_units(read), method.video_units(tokens, num_parts=1).mean(1)
        logits = text @ video.T / method.temp
        expect("sim_v2t", logits.T)
        weights = matching_weights(logits)
        is_other = pairs.caption_ids[:, None] != pairs.caption_ids[None]
        for name, found in zip(("weights_t2v", "weights_v2t"), weights, strict=True):
            expect(name, found * is_other)
        matched = reference.matched
        read_of, is_text_of = read[matched.captions], pairs.is_text[matched.captions]
        expect("vtm_logits", method.match_logits(read_of, is_text_of, tokens=tokens, which=matched.videos))
        fused = method.bert.fuse(method.bert.read(pairs.shown, pairs.is_text), pairs.is_text, source=tokens)
        expect("mlm_logits", method.word_logits(fused))


@pytest.mark.needs("shared")
def test_as_many_tokens_are_visible_as_in_the_reference(reference):
    reader = getattr(reference.method.prepare, {"video": "clips", "image": "images"}[reference.kind])
    order = reference.fixture.tensors[f"input/importance_{reference.kind}"]
    num_cells = order.shape[1]
    num_visible = num_cells - int(reader.objective.mask_ratio * num_cells)
    is_hidden = torch.ones(order.shape, dtype=torch.bool).scatter_(1, order[:, :num_visible], False)
    num_frames = reader.sampling.clip_len
    assert torch.equal(is_hidden.view(-1, num_frames * num_cells), reference.said("mask"))


@pytest.mark.needs("shared")
def test_the_four_losses_are_those_of_the_reference(reference):
    losses = reference.method.losses(reference.pairs, matched=reference.matched)
    parts = ("uta", "vtc", "vtm", "mlm")
    for name in parts:
        reference.expect(f"loss_{name}", losses[f"{name}_loss"])
    torch.testing.assert_close(losses["loss"], sum(reference.said(f"loss_{name}") for name in parts))


@pytest.mark.needs("shared")
def test_gradients_are_those_of_the_losses_computed_one_by_one(reference):
    method, pairs = reference.method, reference.pairs
    method.losses(pairs, matched=reference.matched)["loss"].backward()
    found = {name: p.grad.clone() for name, p in method.named_parameters()}
    method.zero_grad()
    one_by_one(method, pairs, reference.matched).backward()
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


def one_by_one(method, pairs, matched):
    """Return the sum of the four losses with an encoder pass for each, as the released code has it."""
    tokens, student = method.see(pairs.clips, pairs.visible)
    teacher = pairs.features.permute(2, 0, 1, 3)
    read = method.bert.read(pairs.ids, pairs.is_text)
    text, video = method.text_units(read), method.video_units(tokens, num_parts=1).mean(1)
    similarity = video @ text.T / method.temp
    wanted = (pairs.caption_ids[:, None] == pairs.caption_ids[None]).float()
    wanted = wanted / wanted.sum(1, keepdim=True)
    contrast = sum(-(part.log_softmax(1) * wanted).sum(1).mean() for part in (similarity, similarity.T)) / 2
    matches = [
        method.match_logits(read[words], pairs.is_text[words], tokens=tokens[videos])
        for words, videos in zip(matched.captions.chunk(3), matched.videos.chunk(3), strict=True)
    ]
    is_match = torch.tensor([1, 0, 0]).repeat_interleave(len(tokens))
    fused = method.bert.fuse(method.bert.read(pairs.shown, pairs.is_text), pairs.is_text, source=tokens)
    labels = torch.full_like(pairs.ids, -100).flatten()
    labels[pairs.hidden_words] = pairs.ids.flatten()[pairs.hidden_words]
    return (
        align_loss(student, teacher, norm="l2", distance="l2")
        + contrast
        + functional.cross_entropy(torch.cat(matches), is_match)
        + functional.cross_entropy(method.word_logits(fused).flatten(0, 1), labels)
    )


@pytest.mark.needs("shared")
def test_the_contrast_is_that_of_the_reference(shared):
    fixture = read_fixture(shared, "umt2_vtc_loss_a")
    video, text = unit(fixture.tensors["input/vision_proj"]).mean(1), unit(fixture.tensors["input/text_proj"])
    temperature, ids = torch.tensor(fixture.config["temp"]), fixture.tensors["input/idx"]
    fixture.expect("sim_v2t", video @ text.T / temperature)
    is_right = (ids[:, None] == ids[None]).float()
    torch.testing.assert_close(is_right / is_right.sum(1, keepdim=True), fixture.tensors["output/targets"])
    for name, given in (("loss", ids), ("loss_no_idx", torch.arange(len(ids)))):
        found = soft_contrast_loss(
            text, video, temperature=temperature, caption_ids=given, across_ranks=False
        )
        fixture.expect(name, found)


@pytest.mark.needs("shared")
def test_more_frames_and_single_ones_are_seen_as_the_reference_sees_them(shared):
    fixture = read_fixture(shared, "umt2_vision_frames_a")
    settings = [*fixture.settings(UMT_VL_STUDENT_SIZES), "model.num_levels=1", "model.drop_path=0"]
    num_pretrained = fixture.config["ckpt_num_frame"]
    if num_pretrained > 0:  # -1: a table of as many frames as there are
        side = fixture.config["img_size"] // fixture.config["patch_size"]
        settings += [f"model.pretrained_grid={num_pretrained},{side},{side}", "model.stretch_time=true"]
    recipe = override(base(), settings)
    vision = VisionEncoder(recipe).eval()
    vision.load_state_dict(fixture.file().tensors)
    encoder = vision.encoder
    fixture.expect("pos_embed", encoder.positions[None])
    fixture.expect("img_pos_embed", encoder.image_positions[None])
    with torch.no_grad():
        for kind, name, pooled in (
            ("video", "vision_embeds", "pooled"),
            ("image", "image_embeds", "image_pooled"),
        ):
            clips = fixture.tensors[f"input/{kind}"]
            tokens = encoder(clips)
            fixture.expect(name, tokens)
            fixture.expect(pooled, vision.pool_norm(tokens.unflatten(1, (clips.shape[2], -1)).mean(2)))


def test_a_negative_is_drawn_as_often_as_it_is_taken_for_right():
    torch.manual_seed(0)
    logits, ids = torch.randn(4, 4), torch.tensor([1, 2, 3, 1])
    drawn = [draw_pairs(logits, caption_ids=ids, negatives="hard") for _ in range(4000)]
    for numbers, weights in (
        (torch.stack([pairs.videos[4:8] for pairs in drawn]), logits.softmax(1)),
        (torch.stack([pairs.captions[8:] for pairs in drawn]), logits.T.softmax(1)),
    ):
        counts = torch.bincount(numbers[:, 0], minlength=4) / len(drawn)
        others = weights[0, [1, 2]]
        torch.testing.assert_close(counts[[1, 2]], others / others.sum(), atol=0.03, rtol=0)
        assert counts[0] == counts[3] == 0
