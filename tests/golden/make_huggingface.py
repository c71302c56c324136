"""Make the fixtures of VideoMAE and BERT in transformers: `python make_huggingface.py` where it is installed.

A tiny network with drawn weights as `save_pretrained` writes it, a clip or texts, and what it says of them.
Made with transformers 5.24.0, torch 2.15.0.
"""

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    VideoMAEConfig,
    VideoMAEForPreTraining,
    VideoMAEForVideoClassification,
)

HERE = Path(__file__).parent
SIZES = {
    "image_size": 24,
    "patch_size": 8,
    "num_frames": 4,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
}
BERT_SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 12,
}
LABELS = {0: "walk", 1: "run", 2: "jump"}


@torch.no_grad()
def make(name: str, model: torch.nn.Module, *, is_hidden: torch.Tensor | None) -> None:
    """Write one fixture."""
    generator = draw(model)
    videos = torch.randn(2, 4, 3, 24, 24, generator=generator)
    given = {} if is_hidden is None else {"bool_masked_pos": is_hidden}
    said = model.eval()(videos, **given).logits
    tensors = {"input/videos": videos, "output/logits": said}
    if is_hidden is not None:
        tensors["input/mask"] = is_hidden
    write(name, model, tensors)


@torch.no_grad()
def make_bert(name: str) -> None:
    """Write the fixture of a BERT that guesses words, with what every layer says of two texts."""
    model = BertForMaskedLM(BertConfig(**BERT_SIZES))
    generator = draw(model)
    ids = torch.randint(1, BERT_SIZES["vocab_size"], (2, 7), generator=generator)
    is_text = torch.ones(2, 7, dtype=torch.int64)
    is_text[1, 5:] = 0
    said = model.eval()(ids, attention_mask=is_text, output_hidden_states=True)
    hidden = torch.stack(said.hidden_states)
    write(
        name,
        model,
        {"input/ids": ids, "input/is_text": is_text, "output/hidden": hidden, "output/logits": said.logits},
    )


@torch.no_grad()
def draw(model: torch.nn.Module) -> torch.Generator:
    """Draw all weights; return what draws the input."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return generator


def write(name: str, model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Write a network as it saves itself, and what it was given and said."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        params = load_file(f"{folder}/model.safetensors")
        config = json.loads(Path(folder, "config.json").read_text())
    save_file(
        {f"param/{key}": value for key, value in params.items()} | tensors, HERE / f"{name}.safetensors"
    )
    (HERE / f"{name}.json").write_text(json.dumps({"name": name, "config": config}, indent=1) + "\n")


def main() -> None:
    """Write all fixtures."""
    hidden = torch.zeros(2, 2 * 9, dtype=torch.bool)
    hidden[:, [0, 2, 3, 7, 8, 9, 11, 12, 16, 17]] = True
    pretraining = VideoMAEForPreTraining(VideoMAEConfig(**SIZES, use_mean_pooling=False))
    make("huggingface_videomae_pretrain", pretraining, is_hidden=hidden)
    classifier = VideoMAEForVideoClassification(
        VideoMAEConfig(**SIZES, id2label=LABELS, label2id={name: i for i, name in LABELS.items()})
    )
    make("huggingface_videomae_classify", classifier, is_hidden=None)
    make_bert("huggingface_bert")


if __name__ == "__main__":
    main()
