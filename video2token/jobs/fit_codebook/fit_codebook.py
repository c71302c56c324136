"""``vfm fit-codebook``: frames of a dataset to a codebook of their own."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vfm import __version__
from vfm.shards.array_types import UInt8
from vfm.shards.columns.beside import CONFIG_NAME
from vfm.shards.errors import DamageError, UsageError
from vfm.shards.io.atomic import write_bytes
from vfm.shards.io.faults import disk_faults
from vfm.shards.io.lock import LOCK_NAME, hold
from vfm.shards.io.run_log import LOG_NAME, JsonLines, RunLog
from vfm.shards.pixels.views import centre
from vfm.shards.progress import NoProgress, Progress
from vfm.shards.reading.dataset import Dataset
from vfm.video2token.jobs.enlargement import accepted, enlargement_of
from vfm.video2token.jobs.fit_codebook import unfinished
from vfm.video2token.jobs.fit_codebook.options import FitOptions, FitReport
from vfm.video2token.jobs.tokenize.target_task import one_thread
from vfm.video2token.preview.images import frames_picture, to_png
from vfm.video2token.target import check_device
from vfm.video2token.tokenizers.codebook.codebook import (
    WEIGHTS_NAME,
    Codebook,
    CodebookConfig,
    load_codebook,
    save_codebook,
)
from vfm.video2token.tokenizers.codebook.frames import DrawnFrames, sample_frames
from vfm.video2token.tokenizers.codebook.network import STRIDE
from vfm.video2token.tokenizers.codebook.quality import Quality, measure_quality
from vfm.video2token.tokenizers.codebook.quantizer import EmaQuantizer
from vfm.video2token.tokenizers.codebook.training import Learner, LearnOptions

PICTURE_NAME, CURVE_NAME = "reconstructions.png", "curve.png"
KEEP_EVERY, LOG_EVERY = 100, 10  # steps
_NUM_IN_PICTURE = 16
_WINDOW_PX = 64


def fit_codebook(
    dataset: Dataset,
    out: Path,
    options: FitOptions,
    *,
    device: str = "cpu",
    accept_data: bool = False,
    progress: Progress | None = None,
) -> FitReport:
    """Fit a codebook to the frames of ``dataset`` and save it in ``out``, or find that it is there already.

    The codebook follows from dataset, options, build of torch and kind of CPU, also where the fit was
    interrupted and has gone on; on CUDA sums come in any order. ``log.jsonl`` tells how it came along.

    Args:
        dataset: opened with its frames.
        out: folder of the codebook; made when it does not exist.
        options: what is fitted.
        device: where to compute, such as cuda.
        accept_data: go on, aloud, with frames that have to be enlarged; the codebook's facts tell how far.
        progress: receives progress updates.

    Raises:
        UsageError: ``out`` holds another codebook or something else, or the dataset has too few frames or
            too small ones.
        MachineError: the disk is full or read-only, or another job writes there.
        DamageError: a frame, or the codebook in ``out``, is not as it was written.
    """
    check_device(device)
    begun_s = time.monotonic()
    asked = {**asdict(options), "dataset": dataset.fingerprint}
    _make_folder(out)
    with hold(out):
        codebook = _there_already(out, asked=asked)
        is_new = codebook is None
        if codebook is None:
            told = progress or NoProgress()
            enlarged = enlargement_of(
                [centre(options.crop_px)], dataset, what="The codebook", token_px=STRIDE
            )
            kept, note = accepted(enlarged, accept=accept_data)
            if note:
                told.advance(note=note)
            fit = _Fit(out=out, asked=asked, options=options, device=device, progress=told)
            codebook = fit.make(dataset, kept=kept)
        unfinished.forget(out)
    return _report(codebook, out, elapsed_s=time.monotonic() - begun_s, is_new=is_new)


def rate(codebook: Codebook, frames: UInt8) -> tuple[UInt8, Quality]:
    """Return what the codes of frames are rebuilt to, uint8 [N, H, W, 3], and what they are worth."""
    codes = codebook.encode(torch.from_numpy(frames))
    rebuilt = codebook.decode(codes).numpy()
    return rebuilt, measure_quality(frames, rebuilt, codes.numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """A codebook about to be fitted, from the start or from where an earlier job stood."""

    out: Path
    asked: dict[str, Any]
    options: FitOptions
    device: str
    progress: Progress

    def make(self, dataset: Dataset, *, kept: Mapping[str, Any]) -> Codebook:
        frames = sample_frames(dataset, view=centre(self.options.crop_px), seed=self.options.seed)
        codebook = self._fitted(frames)
        rebuilt, quality = rate(codebook, frames.held_out)
        codebook.facts = {**_facts(frames, quality), **kept, "asked": self.asked}
        with disk_faults(self.out):
            write_bytes(self.out / PICTURE_NAME, _picture(frames.held_out, rebuilt))
            save_codebook(codebook, self.out)
        return codebook

    def _fitted(self, frames: DrawnFrames) -> Codebook:
        options = self.options
        generator = torch.Generator().manual_seed(options.seed)
        config = CodebookConfig(name=options.name, vocab_size=options.vocab_size)
        codebook = Codebook(config)
        codebook.network.initialize(generator)
        codebook.to(self.device)
        quantize = EmaQuantizer(
            vocab_size=config.vocab_size, code_dim=config.code_dim, generator=generator, device=self.device
        )
        how = LearnOptions(steps=options.steps, window_px=min(_WINDOW_PX, options.crop_px))
        learner = Learner(codebook.network, quantize, frames.train, how, seed=options.seed)
        found = self._found()
        self.progress.start(options.steps, "steps", done=0 if found is None else found.step)
        try:
            # With one thread sums come in one order, so the codebook is the same on any number of cores.
            # Two are 1.5 times as fast on an idle machine and 50 times as slow on a busy one: measured.
            with one_thread():
                self._go_on(learner, quantize, found=found)
        finally:
            self.progress.finish()
        codebook.table.copy_(quantize.table)
        return codebook.cpu().requires_grad_(False).eval()

    def _go_on(
        self, learner: Learner, quantize: EmaQuantizer, *, found: unfinished.Unfinished | None
    ) -> None:
        if found is not None:
            learner.restore(found.tensors, step=found.step)
            quantize.restore(found.tensors)
            self.progress.advance(note=f"Going on from step {found.step} in {self.out}.")
        targets = {LOG_NAME: lambda: JsonLines(self.out / LOG_NAME, after_step=learner.step)}
        with closing(RunLog(targets, say=self._say)) as log:
            learner.run(lambda learner: self._after_step(learner, quantize, log))

    def _found(self) -> unfinished.Unfinished | None:
        try:
            found = unfinished.find(self.out)
        except DamageError as error:
            self._say(f"{error} Fitting starts over.")
            return None
        if found is not None:
            _refuse_other(self.out, there=found.asked, asked=self.asked)
        return found

    def _after_step(self, learner: Learner, quantize: EmaQuantizer, log: RunLog) -> None:
        self.progress.advance(ok=1)
        is_last = learner.step == self.options.steps
        if is_last or learner.step % LOG_EVERY == 0:
            log.write({"step": learner.step, "loss": learner.loss, "lr": learner.lr})
        if not is_last and learner.step % KEEP_EVERY == 0:
            self._keep(learner, quantize)

    def _keep(self, learner: Learner, quantize: EmaQuantizer) -> None:
        tensors = {**learner.state(), **quantize.state()}
        try:
            unfinished.keep(self.out, asked=self.asked, step=learner.step, tensors=tensors)
        except OSError as error:
            self._say(
                f"Step {learner.step} could not be kept ({error.strerror or error}); fitting continues."
            )

    def _say(self, sentence: str) -> None:
        self.progress.advance(note=sentence)


def _make_folder(out: Path) -> None:
    try:
        with disk_faults(out):
            out.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in out.iterdir()}
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{out} is or lies in a file, not a folder: choose another output.") from None
    ours = {CONFIG_NAME, WEIGHTS_NAME, PICTURE_NAME, CURVE_NAME, LOG_NAME, LOCK_NAME}
    strange = sorted(name for name in names - ours if not name.startswith("."))
    if strange:
        raise UsageError(
            f"{out} holds {strange[0]} and is not a codebook: choose an output that is empty or new."
        )


def _there_already(out: Path, *, asked: dict[str, Any]) -> Codebook | None:
    if not (out / CONFIG_NAME).exists():
        return None
    codebook = load_codebook(out)
    _refuse_other(out, there=codebook.facts.get("asked", {}), asked=asked)
    return codebook


def _refuse_other(out: Path, *, there: dict[str, Any], asked: dict[str, Any]) -> None:
    differences = [
        f"{name} {_short(there.get(name))} there, {_short(value)} requested"
        for name, value in asked.items()
        if there.get(name) != value
    ]
    if differences:
        raise UsageError(
            f"{out} holds another codebook ({'; '.join(differences)}): choose another output, or delete it."
        )


def _short(value: object) -> str:
    return value[:12] if isinstance(value, str) else str(value)


def _facts(frames: DrawnFrames, quality: Quality) -> dict[str, Any]:
    """Return what ``config.json`` tells about the making; no times, so that the file is repeatable."""
    return {
        "num_train_frames": len(frames.train),
        "num_held_out_frames": len(frames.held_out),
        "quality": asdict(quality),
        "made_with": {"vfm": __version__, "torch": str(torch.__version__)},
    }


def _picture(frames: UInt8, rebuilt: UInt8) -> bytes:
    return to_png(frames_picture(frames[:_NUM_IN_PICTURE], rebuilt[:_NUM_IN_PICTURE]))


def _report(codebook: Codebook, out: Path, *, elapsed_s: float, is_new: bool) -> FitReport:
    facts = codebook.facts
    assert codebook.weights_sha256 is not None, "saved or loaded"
    return FitReport(
        codebook=out,
        picture=out / PICTURE_NAME,
        name=codebook.name,
        vocab_size=codebook.vocab_size,
        weights_sha256=codebook.weights_sha256,
        num_train_frames=facts["num_train_frames"],
        num_held_out_frames=facts["num_held_out_frames"],
        quality=Quality(**facts["quality"]),
        elapsed_s=round(elapsed_s, 3),
        is_new=is_new,
    )
