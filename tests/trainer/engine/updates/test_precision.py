import pytest
import torch

from vfm.trainer.engine.updates import precision
from vfm.trainer.engine.updates.precision import autocast, concrete

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_matrices_are_multiplied_in_it(name, dtype):
    weight = torch.ones(2, 2)
    with autocast(name, device=CPU):
        assert (weight @ weight).dtype == dtype
    assert (weight @ weight).dtype == torch.float32


@pytest.mark.parametrize(("found", "chosen"), [({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32")])
def test_auto_asks_the_processor(monkeypatch, found, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert concrete("auto", device=CPU) == chosen
    assert concrete("auto", device=CUDA) == "bf16"
    assert concrete("fp32", device=CUDA) == "fp32"


def test_torch_that_cannot_tell_gets_fp32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not precision._multiplies_bf16()
