"""Make the fixtures of VideoMAE in transformers: `python make_huggingface.py` where it is installed.

A tiny network with drawn weights as `save_pretrained` writes it, one clip, and what the network says of it.
Made with transformers 5.24.0, torch 2.15.0.
"""

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification

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
LABELS = {0: "walk", 1: "run", 2: "jump"}


@torch.no_grad()
def make(name: str, model: torch.nn.Module, *, is_hidden: torch.Tensor | None) -> None:
    """Write one fixture."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    videos = torch.randn(2, 4, 3, 24, 24, generator=generator)
    given = {} if is_hidden is None else {"bool_masked_pos": is_hidden}
    said = model.eval()(videos, **given).logits
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        params = load_file(f"{folder}/model.safetensors")
        config = json.loads(Path(folder, "config.json").read_text())
    tensors = {f"param/{key}": value for key, value in params.items()}
    tensors |= {"input/videos": videos, "output/logits": said}
    if is_hidden is not None:
        tensors["input/mask"] = is_hidden
    save_file(tensors, HERE / f"{name}.safetensors")
    (HERE / f"{name}.json").write_text(json.dumps({"name": name, "config": config}, indent=1) + "\n")


def main() -> None:
    """Write both fixtures."""
    hidden = torch.zeros(2, 2 * 9, dtype=torch.bool)
    hidden[:, [0, 2, 3, 7, 8, 9, 11, 12, 16, 17]] = True
    pretraining = VideoMAEForPreTraining(VideoMAEConfig(**SIZES, use_mean_pooling=False))
    make("huggingface_videomae_pretrain", pretraining, is_hidden=hidden)
    classifier = VideoMAEForVideoClassification(
        VideoMAEConfig(**SIZES, id2label=LABELS, label2id={name: i for i, name in LABELS.items()})
    )
    make("huggingface_videomae_classify", classifier, is_hidden=None)


if __name__ == "__main__":
    main()
