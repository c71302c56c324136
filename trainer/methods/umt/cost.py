"""One clip through UMT's student, for what it costs."""

import numpy as np
import torch
from torch import Tensor

from vfm.trainer.forward_pass import ForwardPass, blank_clips, finetuning_pass, of_pixels
from vfm.trainer.methods.umt.finetuned import encoder_of
from vfm.trainer.methods.umt.pretrain import student_of
from vfm.trainer.methods.umt.reader import draw_visible
from vfm.trainer.recipes.recipe import Recipe

# Channels of the published teachers, CLIP-B/16 for students narrower than UMT-L and CLIP-L/14 for it.
_LARGE_DIM, _TEACHER_DIM, _LARGE_TEACHER_DIM = 1024, 512, 768


def teacher_dim_of(recipe: Recipe) -> int:
    """Return the channels of the published teacher of a student of this size."""
    return _TEACHER_DIM if recipe.model.dim < _LARGE_DIM else _LARGE_TEACHER_DIM


def forward_pass(recipe: Recipe) -> ForwardPass:
    """Return the pass of a clip's visible tokens in pretraining, of all its tokens in finetuning."""
    if recipe.task is not None:
        network = encoder_of(recipe)
        return finetuning_pass(recipe, network, features=network.features)
    teacher_dim = teacher_dim_of(recipe)
    student = student_of(recipe, teacher_dim=teacher_dim)
    even = np.ones((recipe.data.clip_len, recipe.model.cells_per_frame), np.float32)
    num_visible = len(draw_visible(even, recipe.objective, rng=np.random.default_rng(0)))

    def run() -> Tensor:
        return student.align(blank_clips(recipe), torch.arange(num_visible)[None])

    return ForwardPass(
        network=student,
        run=run,
        clip=of_pixels(recipe),
        notes=(
            f"{num_visible} of {even.size} tokens visible",
            f"heads for a teacher of {teacher_dim} channels",
            "without the teacher itself",
        ),
    )
