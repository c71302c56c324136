import pytest
import torch
from torch.nn import functional

from vfm.trainer.models.bert import Bert, BertConfig, BertEmbeddings


def test_word_position_and_sentence_are_added_and_normalized():
    layer = BertEmbeddings(vocab_size=9, num_positions=5, dim=8, pad_id=3).eval()
    layer.initialize(torch.Generator().manual_seed(0))
    tables = (layer.word_embeddings, layer.position_embeddings, layer.token_type_embeddings)
    words, positions, kinds = (table.weight for table in tables)
    assert (words[3] == 0).all()
    ids = torch.tensor([[4, 8, 3]])
    expected = functional.layer_norm(words[ids] + positions[:3] + kinds[0], (8,), eps=1e-12)
    torch.testing.assert_close(layer(ids), expected)
    layer(ids)[..., 0].sum().backward()
    assert (words.grad[3] == 0).all()
    assert words.grad[4].abs().sum() > 0


def test_numbers_are_dropped_in_training_alone():
    layer = BertEmbeddings(vocab_size=5, num_positions=50, dim=40, dropout=0.3)
    layer.initialize(torch.Generator().manual_seed(0))
    ids = torch.arange(50)[None] % 5
    torch.manual_seed(0)
    assert (layer(ids) == 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (layer.eval()(ids) != 0).all()


@pytest.mark.parametrize("std", [0.02, 0.06])
def test_linear_layers_are_drawn_with_the_deviation_asked_for_and_words_as_bert_does(std):
    sizes = {"vocab_size": 400, "num_positions": 50, "dim": 96, "depth": 2, "num_heads": 3, "fusion_layer": 1}
    model = Bert(BertConfig(**sizes, source_dim=64, init_std=std))
    model.initialize(torch.Generator().manual_seed(0))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            expected = 0.02 if name.startswith("embeddings.") else std
            assert weight.std().item() == pytest.approx(expected, rel=0.1), name
