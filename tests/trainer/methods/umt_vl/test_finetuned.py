"""UMT's second stage as it is finetuned: what it starts from, what it says, and what it learns."""

import numpy as np
import pytest
import torch

from support.learning import learn_by_heart
from vfm.shards.errors import UsageError
from vfm.shards.reading.dataset import open_dataset
from vfm.trainer.data.normalize import normalize, to_float
from vfm.trainer.data.stream import stack
from vfm.trainer.methods.umt_vl.encoder import clip_reader, squeezed
from vfm.trainer.methods.umt_vl.finetune import CONVENTIONS, NUMBERS, RECIPES, tiny_retrieve
from vfm.trainer.methods.umt_vl.finetuned import build_video_text
from vfm.trainer.methods.umt_vl.network import UmtVlNetwork
from vfm.trainer.methods.umt_vl.recipe import tiny
from vfm.trainer.recipes.columns import with_columns
from vfm.trainer.recipes.settings import override
from vfm.trainer.tasks.retrieve import build
from vfm.trainer.video_text.captions import TextColumn

SIZES = (
    *("model.image_px=32", "model.dim=24", "model.depth=2", "model.num_heads=2", "model.num_levels=1"),
    *("model.text_dim=16", "model.text_heads=2", "model.text_depth=3", "model.fusion_layer=1"),
    *("model.proj_dim=8", "model.text_dropout=0", "data.stride=1"),
)
COLUMN = TextColumn(name="text.toy", vocab_size=16, pad_id=0, mask_id=4, special_ids=(0, 1, 2, 3, 4))


def recipe_of(*settings):
    return override(with_columns(tiny_retrieve(), ("frames", "text.toy")), [*SIZES, *settings])


@pytest.fixture
def dataset(toy_dataset):
    return open_dataset(toy_dataset(columns=("text.toy",)), columns=("frames", "text.toy"))


def captions():
    """Return ids of two captions and which of them are text."""
    ids = torch.tensor([[2, 5, 9, 3], [2, 7, 3, 0]])
    return ids, ids != 0


def pretrained():
    recipe = override(tiny(), SIZES)
    network = UmtVlNetwork(recipe, teacher_dim=12, vocab_size=16)
    network.initialize(torch.Generator().manual_seed(1))
    network.temp.data.fill_(0.2)
    return network


def test_it_starts_from_a_pretraining_and_says_what_that_said():
    source, model = pretrained().eval(), build_video_text(recipe_of(), COLUMN).eval()
    model.load_pretrained(source.state_dict())
    clip = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    ids, is_text = (
        torch.tensor([[2, 5, 9, 3], [2, 7, 3, 0]]),
        torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool(),
    )
    with torch.no_grad():
        torch.testing.assert_close(model.text_tokens(ids, is_text), source.bert.read(ids, is_text))
        tokens = model.video_tokens({"clip": clip})
        everything = torch.arange(tokens.shape[1]).repeat(2, 1)
        seen, _ = source.see(normalize(to_float(clip)), everything)
        torch.testing.assert_close(seen, tokens)
        logits = model.match_logits(model.text_tokens(ids, is_text), is_text, tokens=tokens)
        fused = source.bert.fuse(source.bert.read(ids, is_text), is_text, source=tokens)
        torch.testing.assert_close(logits, source.itm_head(fused[:, 0]))
    assert model.temperature(recipe_of().objective) == pytest.approx(0.2)


def test_its_own_states_are_taken_whole_and_others_refused():
    model = build_video_text(recipe_of(), COLUMN)
    state = model.state_dict()
    model.load_pretrained(state)
    with pytest.raises(UsageError, match="temp is absent there"):
        model.load_pretrained({name: tensor for name, tensor in state.items() if name != "temp"})
    with pytest.raises(UsageError, match="word_embeddings"):
        build_video_text(recipe_of(), TextColumn(**{**_fields(COLUMN), "vocab_size": 17})).load_pretrained(
            state
        )


def _fields(column):
    return {name: getattr(column, name) for name in column.__slots__}


def test_the_similarity_is_the_mean_over_frames_of_cosines():
    model = build_video_text(recipe_of(), COLUMN).eval()
    clip = torch.randint(0, 256, (3, 4, 32, 32, 3), dtype=torch.uint8)
    ids, is_text = (
        torch.tensor([[2, 5, 9, 3], [2, 7, 3, 0]]),
        torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool(),
    )
    with torch.no_grad():
        found = model.similarity(model.text_vectors(ids, is_text), model.video_vectors({"clip": clip}))
        parts = model.video_tokens({"clip": clip}).view(3, 4, 4, 24).mean(2)
        frames = model.vision_proj(model.vision_encoder.pool_norm(parts))
        text = model.text_proj(model.text_tokens(ids, is_text)[:, 0])
        cosines = torch.nn.functional.cosine_similarity(text[:, None, None], frames[None], dim=-1)
    torch.testing.assert_close(found, cosines.mean(2), atol=1e-6, rtol=1e-5)


def test_a_batch_can_be_learned_by_heart(dataset):
    task = build(recipe_of("objective.augment.crop_area=none", "objective.augment.flip=0"), dataset)
    batch = stack([task.prepare(dataset, index, np.random.default_rng(index)) for index in (0, 1, 2, 3)])
    torch.manual_seed(0)
    first, last = learn_by_heart(task, batch, num_updates=120, lr=3e-3)
    assert first["loss"].item() == pytest.approx(
        first["vtc_loss"].item() + first["vtm_loss"].item(), rel=1e-6
    )
    assert last["loss"].item() < 0.3 * first["loss"].item()
    assert last["batch_accuracy"].item() == 1
    with torch.inference_mode():
        rows = task.eval().held_out({**batch, "clip": batch["clip"][:, None]})
        assert task.held_out_figures(rows)["t2v_r1"] == 1


def test_tests_see_whole_frames_squeezed_by_a_bicubic_filter(dataset):
    reader = clip_reader(recipe_of("model.image_px=16", "model.patch_px=8"))
    frames = np.zeros((1, 32, 64, 3), np.uint8)
    frames[:, :, 32:] = 200
    (square,) = squeezed(frames, crop_px=16, num_crops=1)
    assert square.shape == (1, 16, 16, 3)
    np.testing.assert_array_equal(square[0, :, :6], 0)
    np.testing.assert_array_equal(square[0, :, 10:], 200)
    with pytest.raises(UsageError, match="ask for 1 crop, not for 3"):
        squeezed(frames, crop_px=16, num_crops=3)
    read = reader(dataset, 0, np.array([0, 1]))["clip"]
    spread = reader.spread(dataset, 0, [np.array([0, 1])], num_crops=1)["clip"]
    np.testing.assert_array_equal(spread[0], read)


def test_the_recipes_are_those_of_the_released_table():
    for name, make in RECIPES.items():
        recipe = make()
        assert (recipe.name, recipe.task, recipe.method) == (name, "retrieve", "umt_vl")
        if "tiny" in name:
            continue
        assert recipe.data.clip_len == 12
        assert recipe.model.has_own_shape
        assert recipe.train.batch_size == 256
    assert {suffix.removesuffix("-5m").removesuffix("-17m") for suffix in NUMBERS["base"]} == set(CONVENTIONS)
    msrvtt = RECIPES["umt-vl-base-retrieve"]()
    assert (msrvtt.optim.lr, msrvtt.train.epochs, msrvtt.model.drop_path) == (1e-5, 10, 0.2)
    anet = RECIPES["umt-vl-large-retrieve-activitynet-17m"]()
    assert (anet.objective.max_ids, anet.objective.captions, anet.model.drop_path) == (150, "joined", 0.3)
    template = RECIPES["umt-vl-large-retrieve-ssv2-template-5m"]()
    assert (template.optim.lr, template.optim.lr_floor, template.train.epochs) == (1e-4, 1e-6, 10)


def test_no_finetuning_asks_for_the_columns_of_a_teacher():
    recipes = [make() for make in RECIPES.values()]
    assert len(recipes) == 26
    assert {recipe.data.columns for recipe in recipes} == {("frames", "text.*")}
