import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from support.learning import learn_by_heart
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.engine.updates.optim import lr_at
from vfm.trainer.methods.vimpac import build
from vfm.trainer.methods.vimpac.finetune import large_half_256_classify, large_half_classify
from vfm.trainer.methods.vimpac.loss import mlm_loss, nce_loss
from vfm.trainer.methods.vimpac.mask import NOT_PREDICTED
from vfm.trainer.methods.vimpac.reader import CodeReader, PretrainReader, take_frames
from vfm.trainer.methods.vimpac.recipe import Objective, large_half, large_half_256, small, tiny

MASK, PAD = 16 + 4, 16 + 1


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(), columns=("vq.toy",))


def recipe(*, clip_len=4, **model):
    start = tiny()
    sizes = {"num_layers": 1, "dim": 32, "num_heads": 2, "nce_proj_dim": 32, "dropout": 0.0, **model}
    data = replace(start.data, columns=("vq.toy",), clip_len=clip_len)
    return replace(start, model=replace(start.model, **sizes), data=data)


def batch_of(method, dataset, num_samples=2, seed=0):
    rng = np.random.default_rng(seed)
    return stack([method.prepare(dataset, index, rng) for index in range(num_samples)])


def test_small_has_the_published_numbers():
    released = small()
    assert (released.model.num_layers, released.model.dim, released.model.heads) == (6, 512, 8)
    assert (released.model.nce_proj_layers, released.model.nce_proj_dim) == (2, 2048)
    optim = released.optim
    assert (optim.lr, optim.betas, optim.weight_decay) == (1e-3, (0.9, 0.98), 0.05)
    assert (optim.warmup, optim.schedule, optim.clip_norm) == (0.1, "linear", 1.0)
    assert (released.train.epochs, released.train.batch_size) == (10, 1024)
    assert released.objective == Objective(mask_blocks=5, temperature=0.2, mlm_weight=1.0, nce_weight=1.0)
    assert (released.data.clip_len, released.model.dropout) == (5, 0.1)


def test_the_two_stages_of_the_large_model_are_one_schedule():
    """100 epochs, warm-up over 5 % of them, down to 0; 90 at 128 px and the last ten at 256 px."""
    first, second, per_epoch = large_half(), large_half_256(), 7
    whole = replace(small().optim, lr=3e-4, warmup=0.05)
    stages = [stage.optim.for_run(batch_size=1024, updates_per_epoch=per_epoch) for stage in (first, second)]
    assert (first.train.epochs, second.train.epochs) == (90, 10)
    for update in range(100 * per_epoch):
        is_second = update >= 90 * per_epoch
        here = update - 90 * per_epoch * is_second
        rate = lr_at(here, num_updates=(10 if is_second else 90) * per_epoch, config=stages[is_second])
        assert rate == pytest.approx(lr_at(update, num_updates=100 * per_epoch, config=whole), rel=1e-9)


def test_the_large_model_has_the_published_numbers():
    first, second = large_half(), large_half_256()
    assert (first.model.frame_px, second.model.frame_px) == (128, 256)
    assert replace(second.model, frame_px=128) == first.model
    assert (first.objective.mask_blocks, second.objective.mask_blocks) == (5, 6)
    assert (first.train.micro_batch_size, second.train.micro_batch_size) == (2, 1)
    for recipe in (first, second):
        assert (recipe.optim.betas, recipe.optim.weight_decay) == ((0.9, 0.98), 0.05)
        assert (recipe.train.batch_size, recipe.data.clip_len, recipe.model.dropout) == (1024, 5, 0.1)
    for taught, recipe in ((large_half_classify(), first), (large_half_256_classify(), second)):
        assert (taught.model, taught.data, taught.optim.lr) == (recipe.model, recipe.data, 5e-5)
        assert taught.name == f"{recipe.name}-classify"


def test_another_run_is_gone_on_with_on_another_grid(dataset):
    """Positions are stretched as in finetuning, everything else is taken as it is, both heads too."""
    first = build(recipe(clip_len=3), dataset)
    second = build(recipe(clip_len=5), dataset)
    state, before = first.state_dict(), second.state_dict()
    second.load_pretrained(state)
    table = "backbone.positional_embedding.temporal_pos_embedding"
    assert state[table].shape == (3, 32)
    for name, tensor in second.state_dict().items():
        if name != table:
            assert torch.equal(tensor, state[name]), name
    expected = np.array(
        [
            [np.interp(x, range(3), column) for column in state[table].T.numpy()]
            for x in (np.arange(5) + 0.5) * 3 / 5 - 0.5
        ]
    )
    np.testing.assert_allclose(second.state_dict()[table], expected, atol=1e-6)
    assert before[table].shape == (5, 32)
    assert second.mlm_head.decoder.weight is second.backbone.embedding.weight


def test_two_clips_are_drawn_and_masked_independently(dataset):
    sample = build(recipe(), dataset).prepare(dataset, 3, np.random.default_rng(0))
    codes, labels = sample["codes"], sample["labels"]
    assert codes.shape == labels.shape == (2, 4, 4, 4)
    assert codes.dtype == labels.dtype == np.int64
    is_masked = labels != NOT_PREDICTED
    np.testing.assert_array_equal(is_masked, codes == MASK)
    assert (is_masked[0] != is_masked[1]).any()
    stored = dataset.array(3, "vq.toy", "codes")[0]
    whole = np.where(is_masked, labels, codes)
    starts = [[t for t in range(5) if (stored[t : t + 4] == clip).all()] for clip in whole]
    assert all(starts)
    draws = [np.random.default_rng(seed) for seed in range(20)]
    firsts = {build(recipe(), dataset).prepare(dataset, 3, draw)["codes"].tobytes() for draw in draws}
    assert len(firsts) == 20


def test_short_videos_end_in_pad(dataset):
    sample = build(recipe(clip_len=10), dataset).prepare(dataset, 0, np.random.default_rng(0))
    assert (sample["codes"][:, 8:] == PAD).all()
    assert (sample["labels"][:, 8:] == NOT_PREDICTED).all()
    assert (sample["codes"][:, :8] != PAD).all()


def test_pad_stands_for_times_past_the_end():
    codes = np.arange(3, dtype=np.uint16)[:, None, None]
    assert take_frames(codes, [2, 0, -1], vocab_size=16).ravel().tolist() == [2, 0, PAD]


def test_samplers_travel_light():
    sampler = PretrainReader(
        reader=CodeReader(column="vq.toy", vocab_size=16), clip_len=4, stride=1, objective=Objective()
    )
    assert pickle.loads(pickle.dumps(sampler)) == sampler
    assert len(pickle.dumps(sampler)) < 1000
    reader = CodeReader(column="vq.toy", vocab_size=16)
    assert pickle.loads(pickle.dumps(reader)) == reader


@pytest.mark.parametrize("clip_len", [4, 10])
def test_scoring_masked_codes_alone_changes_no_loss(dataset, clip_len):
    method = build(recipe(clip_len=clip_len), dataset).eval()
    batch = batch_of(method, dataset, num_samples=3)
    found = method(batch)
    codes, labels = (batch[name].transpose(0, 1).flatten(0, 1) for name in ("codes", "labels"))
    logits = method.logits(codes).flatten(0, 3)
    everywhere = torch.nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=NOT_PREDICTED)
    torch.testing.assert_close(found["mlm_loss"], everywhere.detach())
    is_masked = labels.flatten() != NOT_PREDICTED
    accuracy = (logits.argmax(1) == labels.flatten())[is_masked].float().mean()
    torch.testing.assert_close(found["mlm_accuracy"], accuracy)
    torch.testing.assert_close(found["mask_ratio"], is_masked.float().mean())


def test_only_the_loss_has_a_gradient(dataset):
    method = build(recipe(), dataset)
    found = method(batch_of(method, dataset))
    assert [name for name, value in found.items() if value.requires_grad] == ["loss"]
    weights = method.objective
    total = weights.mlm_weight * found["mlm_loss"] + weights.nce_weight * found["nce_loss"]
    torch.testing.assert_close(found["loss"].detach(), total)


def test_weights_of_the_losses(dataset):
    weighed = replace(recipe(), objective=Objective(mlm_weight=0.5, nce_weight=2.0))
    method = build(weighed, dataset).eval()
    found = method(batch_of(method, dataset))
    torch.testing.assert_close(found["loss"].detach(), 0.5 * found["mlm_loss"] + 2 * found["nce_loss"])


def test_nothing_masked_is_no_loss_and_no_nan(dataset):
    method = build(recipe(), dataset)
    batch = batch_of(method, dataset)
    found = method({**batch, "labels": torch.full_like(batch["labels"], NOT_PREDICTED)})
    assert found["mlm_loss"] == 0.0
    found["loss"].backward()
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert mlm_loss(torch.zeros(0, 21), torch.zeros(0, dtype=torch.int64)) == 0.0


def test_learns_two_videos_by_heart(dataset):
    method = build(replace(recipe(num_layers=2), objective=Objective(mask_blocks=3)), dataset)
    _, found = learn_by_heart(method, batch_of(method, dataset), num_updates=60, lr=3e-3)
    assert found["mlm_accuracy"] == 1.0
    assert found["mlm_loss"] < 0.3
    assert found["nce_loss"] < 0.1


def test_a_video_alone_has_nothing_to_be_told_from(dataset):
    method = build(recipe(), dataset).eval()
    batch = batch_of(method, dataset, num_samples=1)
    with pytest.raises(
        UsageError, match="A micro-batch of one video has no other video to contrast it with: set train"
    ):
        method(batch)
    alone = build(replace(recipe(), objective=Objective(nce_weight=0.0)), dataset).eval()
    found = alone(batch)
    assert found["loss"] == found["mlm_loss"] > 0
    found["loss"].backward()
    assert all(parameter.grad is not None for parameter in alone.parameters())


def test_a_projection_of_zeros_is_like_no_other_clip():
    clips = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    clips[1] = 0.0
    clips.requires_grad_()
    loss = nce_loss(clips, temperature=0.2)
    loss.backward()
    unit = clips.detach() / clips.detach().norm(dim=1, keepdim=True).clamp(min=1e-9)
    logits = (unit @ unit.T - 1e9 * torch.eye(6)) / 0.2
    rows = torch.nn.functional.cross_entropy(logits, torch.tensor([3, 4, 5, 0, 1, 2]), reduction="none")
    torch.testing.assert_close(loss.detach(), (rows[:3].mean() + rows[3:].mean()) * 0.2)
    assert clips.grad.isfinite().all()


def test_contrast_across_epochs_is_refused(dataset):
    across = replace(recipe(), train=replace(recipe().train, drop_last=False))
    with pytest.raises(UsageError, match="a batch across two epochs can hold a video twice"):
        build(across, dataset)
    build(replace(across, objective=Objective(nce_weight=0.0)), dataset)


def test_logits_are_float32_under_autocast_too(dataset):
    head = build(recipe(), dataset).mlm_head
    hidden = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(hidden)
    assert logits.dtype == torch.float32
    best = logits.topk(2).values
    assert (best[:, 0] == best[:, 1]).float().mean() < 1e-3
    rounded = logits.bfloat16().topk(2).values
    assert (rounded[:, 0] == rounded[:, 1]).float().mean() > 5e-3  # what it would be


def test_tied_tensors_stay_tied_after_loading(dataset):
    method, other = build(recipe(), dataset), build(replace(recipe()), dataset)
    state = {name: value.clone() + 1 for name, value in other.state_dict().items()}
    for name in ("decoder.weight", "decoder.bias"):
        assert f"mlm_head.{name}" in state
    method.load_state_dict(state, strict=True)
    assert method.mlm_head.decoder.weight is method.backbone.embedding.weight
    assert method.mlm_head.decoder.bias is method.mlm_head.bias


def test_heads_are_decayed_as_in_the_reference(dataset):
    method = build(recipe(), dataset)
    decayed = {name for name, _ in method.named_parameters() if not method.no_weight_decay(name)}
    assert {"mlm_head.transform.2.weight", "cls_head.mlp.bn_0.weight", "backbone.embedding.weight"} < decayed
    assert not {name for name in decayed if name.endswith(".bias")}


def test_masking_nothing_needs_no_code_loss():
    with pytest.raises(UsageError, match="masks nothing; set objective.mlm_weight=0"):
        Objective(mask_blocks=0)
    assert Objective(mask_blocks=0, mlm_weight=0.0).mask_blocks == 0
    with pytest.raises(UsageError, match="temperature is 0.0, but must be greater than 0"):
        Objective(temperature=0.0)


def test_codes_that_the_codebook_does_not_have_are_never_learned(dataset):
    most = max(int(dataset.array(i, "vq.toy", "codes").max()) for i in range(len(dataset)))
    index = next(i for i in range(len(dataset)) if dataset.array(i, "vq.toy", "codes").max() == most)
    told = f"Sample {dataset.keys[index]} of vq.toy holds the code {most}, and its codebook has {most}: "
    reader = CodeReader(column="vq.toy", vocab_size=most)
    with pytest.raises(DamageError, match=told):
        reader(dataset, index, np.arange(4))
    sampler = PretrainReader(
        reader=CodeReader(column="vq.toy", vocab_size=most), clip_len=4, stride=1, objective=Objective()
    )
    with pytest.raises(DamageError, match=told):
        sampler(dataset, index, np.random.default_rng(0))
