from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from support.fixtures import read_fixture
from vfm.shards.errors import UsageError
from vfm.trainer.models.bert import Bert, BertConfig, BertEmbeddings, WordHead, padding_bias
from vfm.trainer.recipes.settings import override
from vfm.trainer.registry import load_recipe
from vfm.trainer.weights.bert import read_bert

TESTS = Path(__file__).resolve().parents[2]
RECIPE = load_recipe("simvtp-tiny")
SIZES = {
    "vocab_size": "vocab_size",
    "num_positions": "max_position_embeddings",
    "dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
}
EMBEDDINGS = {
    "word_embeddings.weight": (7, 4),
    "position_embeddings.weight": (6, 4),
    "token_type_embeddings.weight": (2, 4),
    "LayerNorm.weight": (4,),
    "LayerNorm.bias": (4,),
}


def tensors(*, num_words=7):
    generator = torch.Generator().manual_seed(0)
    shapes = {**EMBEDDINGS, "word_embeddings.weight": (num_words, 4)}
    own = {f"embeddings.{n}": torch.randn(s, generator=generator) for n, s in shapes.items()}
    # Of later layers, whose names hold the same word.
    return own | {"encoder.layer.0.attention.self.query.weight": torch.ones(4, 4)}


@pytest.fixture
def layer():
    return BertEmbeddings(vocab_size=7, num_positions=6, dim=4)


def load(path, layer):
    return read_bert(path).load({"embeddings.": layer}, recipe=RECIPE)


def test_the_first_layer_alone_is_taken_where_nothing_else_is_asked_for(tmp_path, layer):
    save_file(tensors(), tmp_path / "model.safetensors")
    assert read_bert(tmp_path).path == tmp_path / "model.safetensors"
    assert load(tmp_path, layer) == ()
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, tensors()[f"embeddings.{name}"]), name


def test_a_pickle_with_positions_as_numbers_is_taken(tmp_path, layer):
    given = {**tensors(), "embeddings.position_ids": torch.arange(6)[None]}
    torch.save(given, tmp_path / "pytorch_model.bin")
    load(tmp_path / "pytorch_model.bin", layer)
    assert torch.equal(layer.position_embeddings.weight, given["embeddings.position_embeddings.weight"])


def test_another_vocabulary_is_one_sentence(tmp_path, layer):
    save_file(tensors(num_words=9), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="knows 9 words and the captions are ids of 7: make their"):
        load(tmp_path, layer)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (
            {"num_positions": 5},
            r"position_embeddings.weight of \[6, 4\] where .* \[5, 4\]: set model.text_pos",
        ),
        ({"dim": 8}, r"word_embeddings.weight of \[7, 4\] where .* has \[7, 8\]: set model.dim as it is"),
    ],
)
def test_other_sizes_are_one_sentence(tmp_path, sizes, told):
    save_file(tensors(), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=told):
        load(tmp_path, BertEmbeddings(**{"vocab_size": 7, "num_positions": 6, "dim": 4, **sizes}))


def test_what_is_no_bert_is_one_sentence(tmp_path, layer):
    with pytest.raises(UsageError, match=r"holds none of model.safetensors, pytorch_model.bin, .*: name a"):
        read_bert(tmp_path)
    save_file({"a.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="holds no embeddings.word_embeddings.weight: name a folder or file"):
        read_bert(tmp_path)
    save_file({"embeddings.word_embeddings.weight": torch.ones(7, 4)}, tmp_path / "part.safetensors")
    with pytest.raises(UsageError, match=r"part.safetensors holds no embeddings.position_emb.* of BERT"):
        load(tmp_path / "part.safetensors", layer)
    save_file({**tensors(), "embeddings.extra": torch.ones(1)}, tmp_path / "more.safetensors")
    with pytest.raises(UsageError, match="holds embeddings.extra, which the BERT of simvtp-tiny does not"):
        load(tmp_path / "more.safetensors", layer)


class Whole:
    """The BERT of transformers, and the modules that take it, as UMT's second stage has them."""

    def __init__(self, **changed) -> None:
        self.fixture = read_fixture(TESTS, "huggingface_bert")
        sizes = {ours: self.fixture.config[theirs] for ours, theirs in SIZES.items()}
        sizes |= {"fusion_layer": 2, "source_dim": 8, **changed}
        self.bert = Bert(BertConfig(**sizes)).eval()
        self.head = WordHead(self.bert.config).eval()
        text = {"text_heads": sizes["num_heads"], "text_dim": 16}
        self.recipe = override(load_recipe("umt-vl-tiny"), [f"model.{k}={v}" for k, v in text.items()])
        self.parts = {
            "embeddings.": self.bert.embeddings,
            "encoder.": self.bert.encoder,
            "cls.predictions.": self.head,
        }
        self.tensors = self.fixture.file().tensors

    def load(self, path, tensors=None):
        save_file(self.tensors if tensors is None else tensors, path / "model.safetensors")
        return read_bert(path).load(self.parts, recipe=self.recipe)

    def states(self):
        return {
            f"{start}{name}": t.clone()
            for start, m in self.parts.items()
            for name, t in m.state_dict().items()
        }


@pytest.fixture
def whole():
    return Whole()


@torch.no_grad()
def test_every_layer_says_what_it_says_in_transformers(whole, tmp_path):
    assert whole.load(tmp_path) == ()
    given = whole.fixture.tensors
    ids, is_text = given["input/ids"], given["input/is_text"].bool()
    hidden = given["output/hidden"]
    torch.testing.assert_close(whole.bert.embeddings(ids), hidden[0], atol=1e-5, rtol=1e-5)
    x = whole.bert.read(ids, is_text)
    torch.testing.assert_close(x, hidden[2], atol=1e-5, rtol=1e-5)
    x = whole.bert.encoder.layer[2](x, padding_bias(is_text))  # without anything else to look at
    torch.testing.assert_close(x, hidden[3], atol=1e-5, rtol=1e-5)
    whole.fixture.expect("logits", whole.head(x, whole.bert.embeddings.word_embeddings.weight))


def test_attention_to_videos_stays_new_and_nothing_else(whole, tmp_path):
    before = whole.states()
    whole.load(tmp_path)
    after = whole.states()
    kept = {name for name in after if torch.equal(before[name], after[name])}
    assert kept == {name for name in after if ".crossattention." in name}
    assert len(kept) == 10


def test_without_what_guesses_words_it_stays_new_and_is_told(whole, tmp_path):
    alone = {n.removeprefix("bert."): t for n, t in whole.tensors.items() if n.startswith("bert.")}
    # As a model that has no such head, and older files, are saved.
    alone |= {"pooler.dense.weight": torch.ones(16, 16), "cls.seq_relationship.bias": torch.ones(2)}
    before = whole.states()
    assert whole.load(tmp_path, alone) == ("cls.predictions.",)
    after = whole.states()
    heads = [name for name in after if name.startswith("cls.")]
    assert len(heads) == 5
    assert all(torch.equal(before[name], after[name]) for name in heads)
    query = "encoder.layer.1.attention.self.query.weight"
    assert torch.equal(after[query], alone[query])


def test_old_names_of_norms_are_taken(whole, tmp_path):
    old = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t
        for n, t in whole.tensors.items()
    }
    assert sum("gamma" in name for name in old) == 8
    # Old files have the second name of what guesses words, too.
    old["cls.predictions.decoder.weight"] = torch.ones(20, 16)
    whole.load(tmp_path, old)
    after = whole.states()
    for name, tensor in whole.tensors.items():
        assert torch.equal(after[name.removeprefix("bert.")], tensor), name


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"depth": 4}, r"is a BERT of 3 layers, and umt-vl-tiny has one of 4: name one of as many, or set"),
        ({"depth": 2, "fusion_layer": 1}, "is a BERT of 3 layers, and umt-vl-tiny has one of 2: name one of"),
        (
            {"dim": 32},
            r"embeddings.word_embeddings.weight of \[20, 16\] where .*: set model.text_dim as it is",
        ),
        ({"vocab_size": 21}, "knows 20 words and the captions are ids of 21"),
        ({"num_positions": 9}, r"of \[12, 16\] where the network has \[9, 16\]: set model.text_positions"),
    ],
)
def test_a_bert_of_other_sizes_is_one_sentence_and_changes_nothing(tmp_path, changed, told):
    whole = Whole(**changed)
    before = whole.states()
    with pytest.raises(UsageError, match=told):
        whole.load(tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.states().items())


def test_other_heads_are_refused_where_they_are_told(whole, tmp_path):
    (tmp_path / "config.json").write_text('{"num_attention_heads": 2}')
    told = "is a BERT of 2 heads a layer, and umt-vl-tiny has one of 4: set model.text_heads as it is there"
    with pytest.raises(UsageError, match=told):
        whole.load(tmp_path)


def test_layers_of_another_kind_are_refused(whole, tmp_path):
    name = "bert.encoder.layer.0.attention.self.distance_embedding.weight"
    with pytest.raises(
        UsageError, match="holds encoder.layer.0.attention.self.distance_embedding.weight, wh"
    ):
        whole.load(tmp_path, whole.tensors | {name: torch.ones(3, 4)})
    wide = "bert.encoder.layer.2.intermediate.dense.weight"
    with pytest.raises(
        UsageError, match=r"of \[8, 16\] where the network has \[64, 16\]: name another BERT, o"
    ):
        whole.load(tmp_path, whole.tensors | {wide: torch.ones(8, 16)})
