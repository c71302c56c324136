import pytest
import torch
import torch._inductor.config
from torch import nn

from vfm.shards.errors import MachineError
from vfm.trainer.engine.updates.blocks import blocks_of, compile_blocks, compiling, recompute
from vfm.trainer.models.mae import MaskedAutoencoder
from vfm.trainer.models.vit import Block, VitConfig

SIZES = VitConfig(
    image_px=32, patch_px=16, num_frames=4, tubelet=2, dim=32, depth=8, num_heads=2, drop_path=0.5
)


def autoencoder():
    torch.manual_seed(0)
    return MaskedAutoencoder(SIZES, decoder_dim=32, decoder_depth=4, decoder_heads=2).train()


def gradients(network):
    """Return the loss and gradients of one pass, and the bytes that were kept for the backward pass."""
    kept = {}
    own = {tensor.data_ptr() for tensor in network.parameters()}

    def keep(tensor):
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    clips = torch.rand(3, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    is_hidden = (torch.arange(8) < 4).expand(3, 8)
    torch.manual_seed(2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network(clips, is_hidden).square().mean()
    loss.backward()
    return loss.item(), {name: p.grad for name, p in network.named_parameters()}, sum(kept.values())


def test_blocks_are_the_entries_of_the_outermost_lists():
    network = autoencoder()
    assert list(blocks_of(network)) == [*network.encoder.blocks, *network.decoder.blocks]
    nested = nn.Sequential(nn.ModuleList([nn.ModuleDict({"inner": nn.ModuleList([nn.Identity()])})]))
    assert list(blocks_of(nested)) == [nested[0][0]]


def test_recomputed_blocks_have_the_same_gradients_and_keep_less():
    plain, twice = autoencoder(), autoencoder()
    recompute(twice)
    assert plain.state_dict().keys() == twice.state_dict().keys()
    (loss, wanted, plain_bytes), (again, found, twice_bytes) = gradients(plain), gradients(twice)
    assert loss == again
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert twice_bytes < 0.4 * plain_bytes


def test_compiled_blocks_compute_the_same_up_to_rounding():
    plain = Block(16, 2, mlp_ratio=4.0)
    network = nn.ModuleDict({"blocks": nn.ModuleList([plain])})
    x = torch.rand(2, 6, 16, generator=torch.Generator().manual_seed(1))
    wanted = plain(x).detach()
    compile_blocks(network)
    recompute(network)
    assert list(network.state_dict()) == [f"blocks.0.{name}" for name in plain.state_dict()]
    # How torch uses vectors is its own affair, and to compile their headers takes longest.
    with torch._inductor.config.patch({"cpp.vec_isa_ok": False}):
        found = plain(x).detach()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    assert torch._dynamo.utils.counters["frames"]["ok"] >= 1  # it was compiled, not passed over


def test_a_compiler_that_fails_is_one_sentence():
    with (
        pytest.raises(MachineError, match=r"^torch\.compile failed \(InvalidCxxCompiler: none\): leave"),
        compiling(),
    ):
        raise torch._dynamo.exc.TorchDynamoException("InvalidCxxCompiler: none\n\nmore")


def test_other_faults_pass_through():
    with pytest.raises(RuntimeError, match="out of memory"), compiling():
        raise RuntimeError("out of memory")
