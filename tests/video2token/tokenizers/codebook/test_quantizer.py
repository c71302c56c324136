import torch

from vfm.video2token.tokenizers.codebook.quantizer import EmaQuantizer


def clusters(*, num_places: int) -> torch.Tensor:
    """Return features [4, 2, 8, 8] that lie on `num_places` places of a circle."""
    angles = torch.arange(4 * 64) % num_places * (2 * torch.pi / num_places)
    return torch.stack([angles.cos(), angles.sin()], dim=1).view(4, 8, 8, 2).permute(0, 3, 1, 2)


def make(vocab_size: int) -> EmaQuantizer:
    return EmaQuantizer(vocab_size=vocab_size, code_dim=2, generator=torch.Generator().manual_seed(0))


def test_vectors_move_to_where_features_are() -> None:
    quantize = make(8)
    for _ in range(400):
        quantized = quantize(clusters(num_places=4))
    assert torch.allclose(quantized.vectors, clusters(num_places=4), atol=1e-3)
    assert quantized.loss < 1e-6
    for _ in range(400):
        quantized = quantize(2 * clusters(num_places=4))
    assert torch.allclose(quantized.vectors, 2 * clusters(num_places=4), atol=1e-3)


def test_vectors_without_use_are_moved() -> None:
    quantize = make(8)
    for _ in range(50):
        assert len(quantize(clusters(num_places=2)).codes.unique()) == 2
    for _ in range(300):
        quantized = quantize(3 * clusters(num_places=32))
    assert len(quantized.codes.unique()) == 8


def test_gradients_pass_to_the_features_unchanged() -> None:
    features = clusters(num_places=5).requires_grad_()
    quantized = make(4)(features)
    weights = torch.arange(features.numel(), dtype=torch.float32).view_as(features)
    (quantized.vectors * weights).sum().backward()
    assert torch.equal(features.grad, weights)


def test_equal_features_are_no_trouble() -> None:
    quantize = make(8)
    for _ in range(20):
        quantized = quantize(torch.ones(1, 2, 4, 4))
    assert torch.equal(quantized.vectors, torch.ones(1, 2, 4, 4))
    assert quantize.table.isfinite().all()


def test_same_generator_same_vectors() -> None:
    one, other = make(16), make(16)
    for quantize in (one, other):
        for _ in range(10):
            quantize(clusters(num_places=11))
    assert torch.equal(one.table, other.table)
