"""How SimVTP learns to retrieve: the numbers of the released script."""

from collections.abc import Callable
from dataclasses import replace

from vfm.trainer.methods.simvtp.recipe import base, tiny
from vfm.trainer.recipes.classify import published
from vfm.trainer.recipes.recipe import OptimConfig, Recipe, TrainConfig
from vfm.trainer.recipes.retrieve import RetrieveConfig, retrieving

_AUGMENT = published(num_draws=1).augment


def tiny_retrieve() -> Recipe:
    """Fine-tune the tiny model; our own configuration, not from the paper."""
    return retrieving(
        tiny(),
        objective=RetrieveConfig(max_ids=32),
        optim=OptimConfig(lr=1e-3, weight_decay=0.05, schedule="cosine"),
        train=TrainConfig(epochs=30, batch_size=32),
    )


def msrvtt() -> Recipe:
    """The base model on the 9,000 training videos of MSR-VTT, 100 epochs (its script).

    The layer decay of 0.75 that the script asks for reaches no parameter of the released code, whose names
    begin otherwise than it expects; so there is none here.
    """
    recipe = base()
    recipe = replace(
        recipe,
        model=replace(recipe.model, drop_path=0.1),
        data=replace(recipe.data, sampling="dense"),
    )
    optim = OptimConfig(
        lr=3e-4,
        min_lr=1e-6,
        lr_batch_size=256,
        weight_decay=0.05,
        clip_norm=None,
        warmup_epochs=5,
        warmup_peak="last",
        schedule="cosine",
    )
    return retrieving(
        recipe,
        objective=RetrieveConfig(augment=_AUGMENT),
        optim=optim,
        train=TrainConfig(epochs=100, batch_size=64),
    )


def of_dataset(name: str, *, max_ids: int, joined: bool = False) -> Recipe:
    """Return MSR-VTT's numbers for another data set, with its convention of captions; nobody published any.

    Args:
        name: of the data set.
        max_ids: of a caption, as UMT has it for this data set.
        joined: whether a video is looked for by its paragraph, all captions in their order.
    """
    recipe = msrvtt()
    goal = replace(recipe.objective, max_ids=max_ids, captions="joined" if joined else "each")
    return replace(recipe, name=f"{recipe.name}-{name}", objective=goal)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "simvtp-tiny-retrieve": tiny_retrieve,
    # On MSR-VTT: 9,000 videos of 20 captions to learn from, one of them drawn at a time; 1,000 pairs to test.
    "simvtp-base-retrieve": msrvtt,
    "simvtp-base-retrieve-didemo": lambda: of_dataset("didemo", max_ids=64, joined=True),
    "simvtp-base-retrieve-activitynet": lambda: of_dataset("activitynet", max_ids=150, joined=True),
    "simvtp-base-retrieve-lsmdc": lambda: of_dataset("lsmdc", max_ids=96),
    "simvtp-base-retrieve-msvd": lambda: of_dataset("msvd", max_ids=64),
}
