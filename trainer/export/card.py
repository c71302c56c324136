"""The model card: what weights are, where they come from, how good they were, how they are loaded."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vfm
from vfm.shards.errors import DamageError
from vfm.shards.wording import counted, listed
from vfm.trainer.export.model import VideoModel
from vfm.trainer.recipes.requirements import requirements_of
from vfm.trainer.recipes.retrieve import RetrieveConfig
from vfm.trainer.recipes.settings import compared
from vfm.trainer.recipes.values import written
from vfm.trainer.registry import load_recipe, recipe_names
from vfm.trainer.runs.initial_weights import InitialWeights
from vfm.trainer.weights.files import num_parameters
from vfm.trainer.weights.imported import VFM

_NUM_TOLD = 30  # classes and settings


def card(model: VideoModel, start: InitialWeights, *, folder: Path, results: Sequence[str]) -> str:
    """Return a model card in Markdown, with the front matter that the Hugging Face hub reads.

    Args:
        model: that is exported.
        start: where its weights come from.
        folder: that it is exported to.
        results: a line for each evaluation.
    """
    recipe = model.recipe
    kind = "classifier" if model.num_classes else "encoder"
    size = num_parameters(model.state_dict()) / 1e6
    classes = f"\n\nClasses: {listed(model.classes, limit=_NUM_TOLD)}." if model.classes else ""
    counts = "\n".join(f"- {line}" for line in results) or "Not evaluated before it was exported."
    return f"""---
library_name: vfm
pipeline_tag: {"video-classification" if model.num_classes else "feature-extraction"}
tags:
- video
- {recipe.method}
---

# {recipe.name}: {kind} of videos

{size:.1f} M parameters; a clip becomes {model.num_features} numbers{_told_of_head(model)}. It reads \
{requirements_of(recipe)}.{classes}

## How to load it

```python
import vfm

model = vfm.from_pretrained("{folder}")
```

`model(clips)` takes what `model.transform(frames)` returns of the frames of each clip, stacked. \
`vfm finetune --init`, `vfm evaluate` and `vfm embed` take the folder as it is.

## Where it comes from

{_origin(start)}

{_settings(start)}

## Results

{counts}

Written by vfm {vfm.__version__}.
"""


def _told_of_head(model: VideoModel) -> str:
    if model.num_classes:
        return f", and of these come scores of {model.num_classes} classes"
    if isinstance(model.recipe.objective, RetrieveConfig):
        return ", by whose cosine with those of captions it is found; the encoder of captions is not here"
    return ""


def _origin(start: InitialWeights) -> str:
    if start.checkpoint is None:
        assert start.file is not None, "what is exported is not new"
        if start.file.project == VFM:
            return f"From the file `{start.file.path.name}`."
        return f"From the file `{start.file.path.name}`, which has the names of {start.file.project}."
    state = start.checkpoint.state
    average = "the moving average of the weights" if start.is_average else "the weights"
    columns = listed(sorted(state["columns"]), limit=_NUM_TOLD)
    return (
        f"{average[0].upper()}{average[1:]} after update {start.checkpoint.step} of {state['num_steps']}, "
        f"trained on {columns} of the dataset with the fingerprint `{state['dataset']}`."
    )


def _settings(start: InitialWeights) -> str:
    """Return what was trained otherwise than the recipe of that name says, as a command line has it."""
    recipe = start.recipe
    if recipe.name not in recipe_names():
        return f"Recipe `{recipe.name}` is not one of vfm's; all of its numbers are in `config.json`."
    changed = compared(load_recipe(recipe.name), recipe)
    if not changed:
        return f"Recipe `{recipe.name}`, see `vfm recipes show {recipe.name}`."
    settings = [f"{key}={written(value)}" for key, (_, value) in changed.items()]
    return (
        f"Recipe `{recipe.name}` with {listed(settings, limit=_NUM_TOLD)}; all numbers are in `config.json`."
    )


def results_of(start: InitialWeights, *, run: Path) -> list[str]:
    """Return a line for each evaluation of these weights whose report lies in the run's folder.

    Raises:
        DamageError: a report is not what `vfm evaluate` writes.
    """
    if start.checkpoint is None:
        return []
    lines = []
    for path in sorted(run.glob("evaluate-*.json")):
        try:
            report = json.loads(path.read_text("utf-8"))
            if (report["step"], report["ema"]) == (start.checkpoint.step, start.is_average):
                lines.append(_told_of(report))
        except (ValueError, LookupError, TypeError):
            raise DamageError(
                f"{path} is no report of `vfm evaluate`: evaluate again, or remove it."
            ) from None
    return lines


def _told_of(report: dict[str, Any]) -> str:
    found, guess = (_retrieved if report["protocol"] == "retrieval" else _classified)(report)
    num_trained = report.get("num_trained_on")  # absent before 0.2
    learned = f", {num_trained} of which it has learned from" if num_trained else ""
    views = f"{counted(report['num_clips'], 'clip')} in {counted(report['num_crops'], 'crop')} each"
    return (
        f"{found} of split {report['split']}{learned}, {views}, protocol {report['protocol']}; {guess}; "
        f"sample list `{report['sample_list_sha256'][:12]}`"
    )


def _classified(report: dict[str, Any]) -> tuple[str, str]:
    """Return what was found on how many samples, and what guessing would reach."""
    low, high = (100 * end for end in report["accuracy_interval"])
    top5 = report["top5_accuracy"]
    best5 = "" if top5 is None else f", top-5 {100 * top5:.1f} %"
    num_samples = counted(report["num_samples"], "sample")
    return (
        f"top-1 {100 * report['accuracy']:.1f} % ({low:.1f} to {high:.1f}){best5} of {num_samples}",
        f"naming the most frequent class: {100 * report['majority_rate']:.1f} %",
    )


def _retrieved(report: dict[str, Any]) -> tuple[str, str]:
    """Return the same of texts that search videos, and of videos that search texts."""
    directions = {"text to video": report["text_to_video"], "video to text": report["video_to_text"]}
    found = ", ".join(_recalled(name, direction) for name, direction in directions.items())
    temperature = report["dual_softmax"]
    weighted = "" if temperature is None else f", re-weighted by a dual softmax at {temperature:g}"
    k = report.get("rerank")  # reports of before have none
    weighted += "" if k is None else f", the first {k} of each ranked anew by the matching head"
    texts, videos = counted(report["num_texts"], "text"), counted(report["num_videos"], "video")
    chances = [f"{100 * direction['chance']['recall_at_1']:.1f} %" for direction in directions.values()]
    return f"{found}{weighted}, of {texts} and {videos}", f"random order: R@1 {' and '.join(chances)}"


def _recalled(name: str, direction: dict[str, Any]) -> str:
    low, high = (100 * end for end in direction["recall_at_1_interval"])
    first, fifth, tenth = (f"{100 * direction[f'recall_at_{k}']:.1f} %" for k in (1, 5, 10))
    return f"{name} R@1 {first} ({low:.1f} to {high:.1f}), R@5 {fifth}, R@10 {tenth}"
