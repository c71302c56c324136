import torch
from torch import nn
from torch.nn import functional

from vfm.trainer.models.attentive_pooler import AttentivePooler


def pooler(**sizes):
    made = AttentivePooler(8, **{"num_heads": 2, "depth": 1, "mlp_ratio": 4.0, **sizes})
    made.initialize(torch.Generator().manual_seed(0))
    return made


def test_query_attends_to_normalised_tokens_and_both_branches_add_to_it():
    """Against torch's own attention, put together from the same weights."""
    made = pooler()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    tokens = torch.randn(3, 5, 8)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([made.attn.q.weight, made.attn.kv.weight]))
        attention.in_proj_bias.copy_(torch.cat([made.attn.q.bias, made.attn.kv.bias]))
        attention.out_proj.load_state_dict(made.attn.proj.state_dict())
    query, seen = made.query.expand(3, 1, 8), made.norm1(tokens)
    hidden = query + attention(query, seen, seen, need_weights=False)[0]
    hidden = hidden + made.mlp.fc2(functional.gelu(made.mlp.fc1(made.norm2(hidden))))
    torch.testing.assert_close(made(tokens), hidden[:, 0])


def test_order_of_tokens_does_not_matter():
    made, tokens = pooler(depth=2), torch.randn(2, 6, 8)
    torch.testing.assert_close(made(tokens), made(tokens[:, torch.randperm(6)]))


def test_first_weights_follow_from_the_generator_and_branches_end_small():
    made = pooler(depth=2)
    again = pooler(depth=2).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in made.state_dict().items())
    wide = AttentivePooler(256, num_heads=2, depth=2, mlp_ratio=1.0)
    wide.initialize(torch.Generator().manual_seed(0))
    drawn = wide.attn.q.weight.std().item()
    assert 0.017 < drawn < 0.021
    torch.testing.assert_close(wide.blocks[0].mlp.fc2.weight.std().item(), drawn / 2**0.5, rtol=0.02, atol=0)
    torch.testing.assert_close(wide.attn.proj.weight.std().item(), drawn / 2, rtol=0.02, atol=0)
    assert not wide.attn.q.bias.any()
