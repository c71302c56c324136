import numpy as np
import pytest
import torch
from torch.nn import functional

from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.stream import stack
from vfm.trainer.engine.loop import CHECKPOINTS_FOLDER
from vfm.trainer.engine.updates.optim import build_optimizer
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.runs.finetune import build_task, finetune, finetune_recipe
from vfm.trainer.runs.folder import RunOptions, newest_checkpoint
from vfm.trainer.runs.initial_weights import InitialWeights

SMALL = ("model.num_layers=1", "model.dim=16", "model.num_heads=2", "model.dropout=0.5", "data.clip_len=3")
OPTIONS = RunOptions(device="cpu", say=lambda _: None)
PROBES = ("linear", "attentive")


def recipe_of(probe, *settings):
    encoder = override(load_recipe("vimpac-tiny"), SMALL)
    shared = ("data.column=vq.toy", "train.batch_size=6", "train.precision=fp32")
    return finetune_recipe(probe, start=encoder, settings=[*shared, *settings])


def rates(*values):
    return f"objective.rates={','.join(map(str, values))}", f"optim.lr={max(values)}"


@pytest.fixture
def dataset(toy_dataset):
    """Return 20 samples, of which 4 are left out."""
    return open_dataset(toy_dataset(num_samples=20), columns=("vq.toy",))


def batch_of(task, dataset, indices=range(10)):
    return stack([task.prepare(dataset, index, np.random.default_rng(index)) for index in indices])


def trained(dataset, probe, out, *settings, steps=6):
    """Return the weights of a run that has an encoder drawn from its seed."""
    recipe = recipe_of(probe, f"train.max_steps={steps}", *settings)
    finetune(recipe, start=InitialWeights(recipe=recipe), data=dataset.data, out=out, options=OPTIONS)
    return newest_checkpoint(out, options=OPTIONS)


@pytest.mark.parametrize("probe", PROBES)
def test_only_heads_learn_and_the_encoder_computes_as_in_evaluation(dataset, probe):
    task = build_task(recipe_of(probe), dataset).train()
    assert {name.partition(".")[0] for name, p in task.named_parameters() if p.requires_grad} == {
        "heads",
        "partial_heads",
    }
    assert not any(module.training for module in task.backbone.modules())
    assert task.heads.training
    batch = batch_of(task, dataset)
    before = {name: tensor.clone() for name, tensor in task.backbone.state_dict().items()}
    # The encoder has dropout: two passes agree only where it is off.
    torch.testing.assert_close(task(batch)["loss"], task(batch)["loss"], rtol=0, atol=0)
    task(batch)["loss"].backward()
    assert all(parameter.grad is None for parameter in task.backbone.parameters())
    for name, parameter in task.named_parameters():
        assert name.startswith("backbone.") or parameter.grad is not None, name
    for name, tensor in task.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("probe", PROBES)
def test_training_leaves_the_encoder_bit_for_bit_and_changes_every_head(dataset, probe, tmp_path):
    first = build_task(recipe_of(probe), dataset).state_dict()
    last = trained(dataset, probe, tmp_path / "run").model()
    for name, tensor in first.items():
        if name.startswith("backbone."):
            assert torch.equal(tensor, last[name]), name
    for room in ("heads", "partial_heads"):
        changed = [name for name in first if name.startswith(f"{room}.") and name.endswith(".weight")]
        assert len({name.split(".")[1] for name in changed}) == 5
        assert not any(torch.equal(first[name], last[name]) for name in changed)


@pytest.mark.parametrize("probe", PROBES)
def test_loss_is_that_of_each_head_alone(dataset, probe):
    task = build_task(recipe_of(probe, *rates(1e-2, 1e-3)), dataset)
    torch.manual_seed(0)
    for head in (*task.heads, *task.partial_heads):
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    batch = batch_of(task, dataset)
    losses, seen = task(batch), task.see(batch)
    is_learned = ~batch["is_left_out"]
    assert 0 < is_learned.sum() < len(is_learned)
    expected = torch.tensor(0.0)
    for head in task.heads:
        expected += functional.cross_entropy(head(seen), batch["label"])
    for head in task.partial_heads:  # of 10 samples, four fifths are expected to be learned from
        every = functional.cross_entropy(head(seen), batch["label"], reduction="none")
        expected += every[is_learned].sum() / 8
    torch.testing.assert_close(losses["loss"], expected)
    right = (task.heads[1](seen).argmax(1) == batch["label"]).float().mean()
    torch.testing.assert_close(losses["accuracy_lr_0.001"], right)


@pytest.mark.parametrize("probe", PROBES)
def test_what_is_left_out_teaches_a_partial_head_nothing(dataset, probe):
    task = build_task(recipe_of(probe, *rates(1e-2)), dataset)
    batch = batch_of(task, dataset)
    found = []
    for label in (0, 1):
        task.zero_grad()
        task({**batch, "label": torch.where(batch["is_left_out"], label, batch["label"])})["loss"].backward()
        rooms = task.partial_heads[0], task.heads[0]
        found.append([torch.cat([p.grad.flatten() for p in room.parameters()]) for room in rooms])
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.equal(found[0][1], found[1][1])


def test_each_head_learns_at_its_rate(dataset):
    task = build_task(recipe_of("attentive", *rates(1e-2, 1e-3)), dataset)
    recipe = recipe_of("attentive", *rates(1e-2, 1e-3))
    found = {}
    for group in build_optimizer(task, config=recipe.optim).param_groups:
        for name in group["param_names"]:
            found[name] = group["lr_scale"], group["weight_decay"]
    assert found["heads.0.1.weight"] == (1.0, 0.01)
    assert found["partial_heads.1.1.weight"] == (pytest.approx(0.1), 0.01)
    assert found["heads.1.0.attn.kv.bias"] == (pytest.approx(0.1), 0.0)
    assert found["heads.1.0.norm1.weight"] == (pytest.approx(0.1), 0.0)
    assert found["heads.0.0.query"] == (1.0, 0.01)


@pytest.mark.parametrize("probe", PROBES)
def test_heads_trained_together_are_those_trained_alone(dataset, probe, tmp_path):
    together = trained(dataset, probe, tmp_path / "all", *rates(1e-2, 2e-3, 5e-4)).model()
    alone = trained(dataset, probe, tmp_path / "one", *rates(2e-3)).model()
    compared = 0
    for room in ("heads", "partial_heads"):
        for name, tensor in alone.items():
            if name.startswith(f"{room}.0."):
                other = together[name.replace(f"{room}.0.", f"{room}.1.")]
                torch.testing.assert_close(tensor, other, rtol=1e-5, atol=1e-7)
                assert not torch.equal(tensor, together[name])
                compared += 1
    assert compared == (4 if probe == "linear" else 34)


@pytest.mark.parametrize("probe", PROBES)
def test_micro_batches_add_up(dataset, probe):
    task = build_task(recipe_of(probe, *rates(1e-2)), dataset).eval()  # the norm sees no batch
    batch = batch_of(task, dataset, range(8))
    whole = task(batch)["loss"]
    parts = [task({name: part[i : i + 4] for name, part in batch.items()})["loss"] / 2 for i in (0, 4)]
    torch.testing.assert_close(whole, sum(parts))


@pytest.mark.parametrize("probe", PROBES)
def test_resumed_equals_uninterrupted(dataset, probe, tmp_path):
    whole = trained(
        dataset, probe, tmp_path / "whole", "train.checkpoint_every=2", "train.keep_checkpoints=9"
    )
    half = tmp_path / "half"
    (half / CHECKPOINTS_FOLDER).mkdir(parents=True)
    name = "step-000002"
    for file in (tmp_path / "whole" / CHECKPOINTS_FOLDER / name).iterdir():
        target = half / CHECKPOINTS_FOLDER / name / file.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    (half / "run.json").write_bytes((tmp_path / "whole" / "run.json").read_bytes())
    settings = ("train.checkpoint_every=2", "train.keep_checkpoints=9")
    again = trained(dataset, probe, half, *settings)
    assert again.step == whole.step == 6
    for name, tensor in whole.model().items():
        assert torch.equal(tensor, again.model()[name]), name


def test_views_of_a_sample_are_averaged_for_each_rate(dataset):
    task = build_task(recipe_of("linear", *rates(1e-2, 1e-3)), dataset).eval()
    for head in (*task.heads, *task.partial_heads):
        torch.nn.init.normal_(head.weight)
    spread = task.spread(num_clips=3, num_crops=1)
    batch = stack([spread(dataset, index, np.random.default_rng(0)) for index in range(4)])
    for partial, heads in ((False, task.heads), (True, task.partial_heads)):
        scores = task.view_scores(batch, partial=partial)
        assert scores.shape == (4, 2, 2)
        seen = task.see({"codes": batch["codes"][2]})
        torch.testing.assert_close(scores[2, 1], heads[1](seen).softmax(-1).mean(0))


def test_held_out_figures_are_of_each_sample(dataset):
    task = build_task(recipe_of("linear", *rates(1e-2)), dataset).eval()
    reader = task.held_out_reader
    batch = stack([reader(dataset, index, np.random.default_rng(0)) for index in range(4)])
    logits = task.heads[0](task.see({"codes": batch["codes"][:, 0]}))
    found = task.held_out(batch)
    torch.testing.assert_close(
        found["loss"], functional.cross_entropy(logits, batch["label"], reduction="none")
    )
    assert torch.equal(found["accuracy_lr_0.01"], (logits.argmax(1) == batch["label"]).float())


def test_one_sample_at_once_has_no_deviation(dataset):
    task = build_task(recipe_of("linear"), dataset)
    batch = batch_of(task, dataset, [0])
    with pytest.raises(UsageError, match="normalizes over the samples that are computed at once, .* is 1"):
        task.train()(batch)
    assert task.eval()(batch)["loss"].isfinite()
    attentive = build_task(recipe_of("attentive"), dataset)
    assert attentive.train()(batch)["loss"].isfinite()


def test_features_are_normalised_by_the_batch(dataset):
    task = build_task(recipe_of("linear"), dataset).train()
    batch = batch_of(task, dataset)
    features = task.backbone.features(batch).double()
    expected = (features - features.mean(0)) / (features.var(0, unbiased=False) + 1e-6).sqrt()
    torch.testing.assert_close(task.see(batch).double(), expected, rtol=1e-3, atol=1e-3)
    assert expected.abs().max() > 1
    torch.testing.assert_close(task.norm.running_mean.double(), features.mean(0) / 10)
