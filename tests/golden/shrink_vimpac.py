"""Make small copies of VIMPAC's golden fixtures: `python tests/golden/shrink_vimpac.py FIXTURES`.

A fixture holds a table of 8197 codes, of which its input uses a few dozen. Where every output follows from
rows of the table one by one, the copy keeps the rows in use and the five special ones, and numbers the codes
anew: inputs, parameters and outputs are the reference's numbers, only fewer. The losses need the whole table:
there, only tensors stored twice (tied weights) are left out.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

TABLES = ("param/backbone.embedding.weight", "param/mlm_head.bias")
TIED = ("param/mlm_head.decoder.weight", "param/mlm_head.decoder.bias")
CUT = ("vimpac_forward_a", "vimpac_forward_half_a", "vimpac_forward_ablation_a", "vimpac_finetune_a")
CUT += ("vimpac_posinterp_a", "vimpac_posinterp_ablation_a")
WHOLE = ("vimpac_losses_a", "vimpac_nce_a")


def cut_vocabulary(tensors: dict[str, Tensor], *, vocab_size: int) -> tuple[dict[str, Tensor], int]:
    """Keep the table rows that the input uses; return the tensors and how many codes are left."""
    codes = tensors["input/codes"]
    used = codes[codes < vocab_size].unique()
    rows = torch.cat([used, torch.arange(vocab_size, vocab_size + 5)])
    small = dict(tensors)
    small["input/codes"] = torch.searchsorted(rows, codes)
    small.update({name: tensors[name][rows] for name in TABLES if name in tensors})
    if "output/mlm_logits" in tensors:
        small["output/mlm_logits"] = tensors["output/mlm_logits"][..., rows].contiguous()
    return small, len(used)


def shrink(source: Path, target: Path, *, cut: bool) -> None:
    """Write the small copy of one fixture."""
    about = json.loads(source.with_suffix(".json").read_text())
    tensors = {name: value for name, value in load_file(source).items() if name not in TIED}
    config = about["config"]
    if cut:
        tensors, config["vocab_size"] = cut_vocabulary(tensors, vocab_size=config["vocab_size"])
    save_file(tensors, target)
    kept = ("name", "reference_repo", "reference_commit", "config", "notes", "suggested_atol")
    text = json.dumps({key: about[key] for key in kept}, indent=1)
    target.with_suffix(".json").write_text(text + "\n")


if __name__ == "__main__":
    fixtures, here = Path(sys.argv[1]), Path(__file__).parent
    for name in CUT + WHOLE:
        shrink(fixtures / f"{name}.safetensors", here / f"{name}.safetensors", cut=name in CUT)
