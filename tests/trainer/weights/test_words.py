import pytest
import torch
from safetensors.torch import save_file

from vfm.shards.errors import UsageError
from vfm.trainer.models.bert import BertEmbeddings
from vfm.trainer.weights.words import read_words


def tensors(*, prefix="bert.", norm=("weight", "bias"), num_words=7):
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "word_embeddings.weight": (num_words, 4),
        "position_embeddings.weight": (6, 4),
        "token_type_embeddings.weight": (2, 4),
        f"LayerNorm.{norm[0]}": (4,),
        f"LayerNorm.{norm[1]}": (4,),
    }
    own = {f"{prefix}embeddings.{n}": torch.randn(s, generator=generator) for n, s in shapes.items()}
    # Of later layers, whose names hold the same word.
    return own | {f"{prefix}encoder.layer.0.attention.self.query.weight": torch.ones(4, 4)}


@pytest.fixture
def layer():
    return BertEmbeddings(vocab_size=7, num_positions=6, dim=4)


@pytest.mark.parametrize("prefix", ["bert.", ""])
@pytest.mark.parametrize("norm", [("weight", "bias"), ("gamma", "beta")])
def test_the_first_layer_of_a_folder_of_hugging_face_is_taken(tmp_path, layer, prefix, norm):
    given = tensors(prefix=prefix, norm=norm)
    save_file(given, tmp_path / "model.safetensors")
    words = read_words(tmp_path)
    assert words.path == tmp_path / "model.safetensors"
    words.load(layer)
    state = layer.state_dict()
    assert torch.equal(state["word_embeddings.weight"], given[f"{prefix}embeddings.word_embeddings.weight"])
    assert torch.equal(state["LayerNorm.weight"], given[f"{prefix}embeddings.LayerNorm.{norm[0]}"])
    assert torch.equal(state["LayerNorm.bias"], given[f"{prefix}embeddings.LayerNorm.{norm[1]}"])


def test_a_pickle_with_positions_as_numbers_is_taken(tmp_path, layer):
    given = {**tensors(), "bert.embeddings.position_ids": torch.arange(6)[None]}
    torch.save(given, tmp_path / "pytorch_model.bin")
    read_words(tmp_path / "pytorch_model.bin").load(layer)
    positions = layer.position_embeddings.weight
    assert torch.equal(positions, given["bert.embeddings.position_embeddings.weight"])


def test_another_vocabulary_is_one_sentence(tmp_path, layer):
    save_file(tensors(num_words=9), tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="knows 9 words and the captions are ids of 7: make their"):
        read_words(tmp_path).load(layer)


def test_other_sizes_are_one_sentence(tmp_path):
    save_file(tensors(), tmp_path / "model.safetensors")
    words = read_words(tmp_path)
    with pytest.raises(UsageError, match=r"position_embeddings.weight of \[6, 4\] where .* \[5, 4\]: set"):
        words.load(BertEmbeddings(vocab_size=7, num_positions=5, dim=4))
    with pytest.raises(UsageError, match=r"LayerNorm.bias of \[4\] where .* has \[8\]: set model.dim"):
        words.load(BertEmbeddings(vocab_size=7, num_positions=6, dim=8))


def test_what_is_no_bert_is_one_sentence(tmp_path, layer):
    save_file({"a.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match="holds no embeddings.word_embeddings.weight: name a folder or file"):
        read_words(tmp_path)
    save_file({"embeddings.word_embeddings.weight": torch.ones(7, 4)}, tmp_path / "part.safetensors")
    with pytest.raises(UsageError, match=r"part.safetensors holds no embeddings.LayerNorm.bias of BERT"):
        read_words(tmp_path / "part.safetensors").load(layer)
