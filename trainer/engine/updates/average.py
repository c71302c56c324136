"""The exponential moving average of a method's weights (Polyak and Juditsky 1992; timm's ``ModelEma``)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vfm.trainer.engine.updates.sharding import Keep, part_of, whole
from vfm.trainer.method import Method


class WeightAverage:
    """Follows the weights and buffers of a method; what is not a float is copied.

    Args:
        method: what learns; the average begins as its weights.
        decay: share of the average that an update leaves.
    """

    def __init__(self, method: Method, *, decay: float) -> None:
        self._decay = decay
        # A tied weight is averaged once, under the name that a checkpoint has for it.
        state = method.state_dict(keep_vars=True)
        first = {id(tensor): name for name, tensor in reversed(state.items())}
        self._tensors = {name: state[name].detach().clone() for name in state if name in first.values()}

    @torch.no_grad()
    def update(self, method: Method) -> None:
        """Take in the weights after an update."""
        state = method.state_dict()
        for name, average in self._tensors.items():
            if average.is_floating_point():
                average.lerp_(state[name], 1 - self._decay)
            else:
                average.copy_(state[name])

    def state(self, *, keep: Keep = Tensor.cpu) -> dict[str, Tensor]:
        """Return the average, whole and on the CPU, under the names of the method's state but for tied ones.

        Every rank must call this.
        """
        return {name: keep(whole(tensor)) for name, tensor in self._tensors.items()}

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `state` returned; there may be more names."""
        for name, average in self._tensors.items():
            average.copy_(part_of(tensors[name], like=average))
