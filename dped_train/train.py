"""Train an enhancer: the whole loop and its steps, to be read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from dped_data.common.malloc import keep_freed_memory
from dped_data.common.progress import note, progress_bar
from dped_data.dataset.manifest import find_dataset
from dped_data.dataset.store import PatchStore
from dped_data.errors import InputError, UsageError
from dped_train.data import (
    DISCRIMINATOR_BATCH,
    GENERATOR_BATCH,
    PRETRAINING_BATCH,
    Batch,
    PatchPairs,
    StepData,
    open_pairs,
    read_ahead,
)
from dped_train.devices import choose_products, chosen_dtype
from dped_train.losses import LOSSES, TOTAL, discriminator_accuracy, discriminator_loss, generator_losses, leave_out
from dped_train.networks.compared import PhotoNetwork
from dped_train.networks.dped import Discriminator
from dped_train.networks.file import MODEL_NAME
from dped_train.networks.vgg import load_vgg
from dped_train.photo_tensors import photos_from_bytes, placed
from dped_train.run.distributed import Process, joined_processes, sum_gradients, summed
from dped_train.run.feature_cache import FeatureCache
from dped_train.run.folder import (
    beginning_of_run,
    held_run,
    last_checkpoint_text,
    prune_checkpoints_of,
    run_facts,
    save_model,
    save_run,
)
from dped_train.run.health import findings, health_lines
from dped_train.run.log import RunRecord
from dped_train.run.methods import Rates, learning_rates, recipe_of, texture_factor
from dped_train.run.state import begin, place
from dped_train.run.validation import Validation
from dped_train.settings import BALANCED_BATCH, CHOSEN_PRETRAINING, STARTS, TrainSettings, resolved

CHUNK_ON_CPU = 10  # ours: larger ones are no faster there, and need memory in proportion
PRETRAINING_SHARE = 1 / 20  # ours: of the steps; the paper says that the discriminator is pre-trained, not how long
EPSILON, BETA2 = 1e-8, 0.999  # Adam's, of torch and TensorFlow alike
HEALTH_FROM = 1000  # ours: steps from which on the health check speaks up before the end
TINY = 1e-30
LOGGED = (*LOSSES, TOTAL)
FIGURES_EVERY_ON_GPU = 20  # ours: a GPU waits each time for its next orders; 20 steps take it a second or less


@dataclass(frozen=True)
class StepFigures:
    """What a step measured, on the device still.

    Attributes:
        step: counted from 0. rates: of its optimisers.
        enhancer: the losses in the order of `LOGGED` and the norm of the gradient; None where no enhancer moved.
        verdict: the discriminator's loss, its accuracy and the norm of its gradient; None without a discriminator.
        purpose: which batch the discriminator was shown.
    """

    step: int
    rates: Rates
    enhancer: Tensor | None
    verdict: Tensor | None
    purpose: int


@dataclass(frozen=True)
class TrainReport:
    """What a finished run says of itself.

    Attributes:
        folder: the run's folder. model: the enhancer in it, the running mean of its weights.
        steps: steps of the whole run, of which `first_step` were done before it was resumed.
        seconds: what the steps of this call took; patches_per_s: pairs of generator batches in that time.
        waiting_share: share of the seconds that steps waited for data.
        val_psnr, val_ms_ssim, phone_psnr: dB, 0 to 1, and dB of the untouched phone patches, over the validation
            patches; None without a val split.
    """

    folder: Path
    model: Path
    steps: int
    first_step: int
    seconds: float
    patches_per_s: float
    waiting_share: float
    val_psnr: float | None
    val_ms_ssim: float | None
    phone_psnr: float | None


def train(
    data: Path,
    phone: str | None,
    out: Path,
    settings: TrainSettings,
    *,
    resume: bool = False,
    data_changed: bool = False,
) -> TrainReport:
    """Train an enhancer on a dataset; everything is written below OUT/<phone>.

    A run that is there already goes on from its newest checkpoint, if settings and dataset are its own; on a CPU the
    result is that of an uninterrupted run to the last bit.

    Args:
        data: folder of datasets, one folder for each phone.
        phone: which one; None where there is only one.
        out: folder of runs.
        settings: what to compute.
        resume: the person said that a run is meant to go on: errors then name the way out for it.
        data_changed: go on with a run although its dataset has grown since; the card tells of it.
    Raises:
        InputError: no usable dataset, VGG weights, model to start from or checkpoint; a run of other settings or of
            another dataset is there; a loss that is not finite.
        UsageError: settings that make no sense here.
    """
    keep_freed_memory()
    source = find_dataset(data, phone)
    folder = out / source.name
    with joined_processes(settings.device) as process, held_run(folder, process.leads):
        store = open_pairs(source, "train")
        begun = beginning_of_run(folder, settings, store, resume=resume, data_changed=data_changed)
        run = Run(settings, store, process, folder)
        begun.enter(run.state)
        if process.leads and run.adversarial and (factor := texture_factor(run.settings)) != 1:
            note(
                f"batches of {settings.batch_size}: the texture loss, in this recipe a sum over the batch, is weighed "
                f"{factor:g} times, as in batches of {BALANCED_BATCH} (--no-balance leaves it as it is)"
            )
        first_step = begun.step
        prune_checkpoints_of(folder, settings, run.state)  # a run may have ended before it came to that
        mosaics = settings.input == "raw"
        validation = Validation(source, settings.validation_patches, process.device, mosaics=mosaics)
        facts = run_facts(settings, run.pairs.store)
        if process.leads and begun.checkpoint is not None and not (folder / MODEL_NAME).exists():
            save_model(folder, run.state, first_step, settings, facts)  # somebody deleted it; the checkpoint has it
        if first_step == 0:
            run.pretrain_discriminator()
        name = settings.recipe if settings.method == "dped" else settings.method
        seconds, waited_s, figures, accuracies = 0.0, 0.0, dict[str, float](), list[float]()
        warned = set[str]()
        with (
            RunRecord(folder, first_step, facts, settings) if process.leads else nullcontext() as record,
            progress_bar(
                settings.steps, label=f"train {name}", unit="step", initial=first_step, silent=not process.leads
            ) as bar,
        ):
            done, waits, began_s = list[StepFigures](), list[float](), perf_counter()
            for read in run.batches(first_step):
                done.append(run.moved(read))
                waits.append(read.waited_s)
                step = read.step + 1
                at_checkpoint = step % settings.checkpoint_every == 0 or step == settings.steps
                if len(done) < run.figures_every and not at_checkpoint:
                    continue
                rows = run.figures_of(done)
                duration = perf_counter() - began_s
                seconds, waited_s = seconds + duration, waited_s + sum(waits)
                for row, wait in zip(rows, waits, strict=True):
                    row |= {"seconds": duration / len(rows), "waited_s": wait}
                    accuracies += [row["accuracy"]] if "accuracy" in row else []
                figures = rows[-1]
                if record:
                    for earlier, row in zip(done[:-1], rows[:-1], strict=True):
                        record.add(earlier.step + 1, row)
                if record and at_checkpoint:
                    figures |= validation.measure(run.state.mean) | run.health(read.batches[0], accuracies)
                    run.state.note_validation(step, figures.get("val_psnr"))
                    if (sheet := validation.sheet(run.state.mean)) is not None:
                        record.add_picture(step, sheet)
                    record.add(step, figures)
                    health = health_lines(figures, len(accuracies))
                    save_run(
                        folder, run.state, step, settings, store, figures, validation.phone_psnr, begun.origin, health
                    )
                    if step >= min(settings.steps, HEALTH_FROM):
                        wrong = findings(figures, len(accuracies))
                        for figure in sorted(wrong.keys() - warned):
                            note(f"step {step:,}: {wrong[figure]}")
                        warned |= wrong.keys()
                    accuracies.clear()
                elif record:
                    record.add(step, figures)
                bar.set_postfix_str(f"loss {figures['total']:.4g}", refresh=False)
                bar.update(len(rows))
                done, waits, began_s = [], [], perf_counter()
    return TrainReport(
        folder=folder,
        model=folder / MODEL_NAME,
        steps=settings.steps,
        first_step=first_step,
        seconds=seconds,
        patches_per_s=(settings.steps - first_step) * settings.batch_size / seconds if seconds else 0.0,
        waiting_share=waited_s / seconds if seconds else 0.0,
        val_psnr=figures.get("val_psnr"),
        val_ms_ssim=figures.get("val_ms_ssim"),
        phone_psnr=validation.phone_psnr,
    )


class Run:
    """The steps of one run: its settings, its data, and the state that each step moves on."""

    def __init__(self, settings: TrainSettings, store: PatchStore, process: Process, folder: Path) -> None:
        if settings.batch_size < process.count:
            raise UsageError(f"--batch-size {settings.batch_size} is below 1 for each of {process.count} processes")
        settings = resolved(settings)
        self.settings, self.process, self.device, self.folder = settings, process, process.device, folder
        self.recipe = recipe_of(settings)
        self.precision = chosen_dtype(settings.precision, process.device)
        choose_products(settings.precision)
        self.figures_every = settings.figures_every or (1 if self.device.type == "cpu" else FIGURES_EVERY_ON_GPU)
        self.pairs = PatchPairs(
            store,
            batch_size=settings.batch_size,
            seed=settings.seed,
            flips=settings.flips,
            quarter_turns=settings.quarter_turns,
            crop_px=settings.crop_px,
            halves=settings.halves,
            as_authors=settings.exactly,
            mosaics=settings.input == "raw",
        )
        self.vgg, self.features = None, None
        if self.recipe.content_weight > 0:
            self.vgg = place(load_vgg(settings.vgg or None, layer=self.recipe.content_layer), self.device)
            self.features = FeatureCache(self.vgg, 0 if self.pairs.augmented else settings.feature_cache_mb)
        self.state = begin(
            settings, self.recipe, self.pairs.patch_size, process, scaled=self.precision is torch.float16
        )
        self.adversarial = self.recipe.texture_weight > 0
        # the paper's discriminator is shown what the enhancer's step has just made; the released code's gets a batch
        # of its own, enhanced with the new weights
        self.own_batch = self.adversarial and self.recipe.shown == "either"

    def batches(self, first_step: int) -> Iterator[StepData]:
        """Read the batches of all steps from `first_step` on."""
        purposes = (GENERATOR_BATCH, DISCRIMINATOR_BATCH) if self.own_batch else (GENERATOR_BATCH,)
        steps = range(first_step, self.settings.steps)
        return read_ahead(self.pairs, purposes, steps, self.process.rank, self.process.count)

    def step(self, read: StepData) -> dict[str, float]:
        """Do one step and fetch the figures of its row."""
        return self.figures_of([self.moved(read)])[0]

    def moved(self, read: StepData) -> StepFigures:
        """Do one step of both networks, the enhancer first as the authors do; nothing waits for the device.

        Where a gradient is not finite, Adam leaves the step out.
        """
        rates, verdict, purpose = self.rates(read.step), None, GENERATOR_BATCH
        self.state.prepare_step(rates, self.epsilon(read.step))
        figures, enhanced = self.enhancer_step(read.batches[0])
        if self.own_batch:
            verdict, purpose = self.discriminator_step_on_either(read.batches[1]), DISCRIMINATOR_BATCH
        elif self.adversarial:
            verdict = self.discriminator_step_on_both(read.batches[0], enhanced)
        self.state.scaler.update()
        self.state.follow_mean(read.step + 1, self.settings.ema_decay)
        return StepFigures(read.step, rates, figures, verdict, purpose)

    def rates(self, step: int) -> Rates:
        """Learning rates of a step."""
        return learning_rates(self.settings, self.recipe.normalisation, step)

    def figures_of(self, done: Sequence[StepFigures]) -> list[dict[str, float]]:
        """Fetch the figures of steps, one row for each; the only place where a step waits for the device.

        Raises:
            InputError: a figure of a step is not finite; names its patches and the last good checkpoint.
        """
        parts = [part for one in done for part in (one.enhancer, one.verdict) if part is not None]
        values = iter(torch.cat(parts).cpu().tolist())
        rows = []
        for one in done:
            row = {}
            if one.enhancer is not None:
                row = {name: next(values) for name in (*LOGGED, "gradient_norm")}
                checked = {f"the {name} loss": row[name] for name in LOGGED}
                self.check_finite(checked, row["gradient_norm"], GENERATOR_BATCH, one.step)
            if one.verdict is not None:
                row["discriminator"], row["accuracy"], norm = (next(values) for _ in range(3))
                self.check_finite({"the discriminator's loss": row["discriminator"]}, norm, one.purpose, one.step)
                row["discriminator_rate"] = one.rates.discriminator
            rows.append(row | {"learning_rate": one.rates.enhancer})
        return rows

    def epsilon(self, step: int) -> float:
        """What Adam adds to the root of the squares.

        The authors' Adam, TensorFlow's, adds it before the bias of the first steps is taken out, torch's after it.
        """
        return EPSILON / (1 - BETA2 ** (step + 1)) ** 0.5 if self.settings.exactly else EPSILON

    def enhancer_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Move the enhancer down its losses; return them, and what it had made of the phone patches (masks filled)."""
        state, sums, made = self.state, torch.zeros(len(LOGGED), device=self.device), []
        for part in self.parts(batch):
            seen, dslr = self.photos(batch.seen[part]), self.photos(batch.dslr[part])
            valid = self.valid(batch, part)
            features = self.features.features(batch.indices[part], dslr) if self.features else None
            with self.autocast():
                enhanced = state.enhancer(seen)
                losses = generator_losses(
                    enhanced,
                    dslr,
                    recipe=self.recipe,
                    discriminator=self.judging(dslr),
                    vgg=self.vgg,
                    dslr_features=features,
                    batch_size=batch.whole,
                    valid=valid,
                )
            # for the enhancer's parameters only: the discriminator's need no gradient here
            state.scaler.scale(losses.total).backward(inputs=list(state.enhancer.parameters()))
            sums += torch.stack([getattr(losses, name).detach() for name in LOGGED])
            made.append(leave_out(enhanced.detach(), dslr, valid))
        norm = self.descend(state.enhancer, state.enhancer_adam)
        return torch.cat([summed(sums, self.process.count), norm]), torch.cat(made)

    def judging(self, dslr: Tensor) -> Callable[[Tensor], Tensor]:
        """The discriminator as the enhancer's step asks it for its logits.

        With batch normalisation it judges enhanced patches among DSLR patches, as it learnt to. Among themselves they
        would be brought to one size, all of them soft or all of them sharp, and no gradient would ask for texture.
        """
        discriminator = self.state.discriminator
        if discriminator.normalisation == "instance":
            return discriminator
        return lambda enhanced: discriminator(torch.cat([dslr, enhanced.to(dslr.dtype)]))[len(dslr) :]

    def discriminator_step_on_either(self, batch: Batch) -> Tensor:
        """Show the discriminator one photo of each pair (released code); enhance only those it is shown."""
        sums = torch.zeros(2, device=self.device)
        for part in self.parts(batch):
            is_dslr = batch.show_dslr[part]
            shown, valid = self.photos(batch.dslr[part]), self.valid(batch, part)
            if not is_dslr.all():
                fake = placed(torch.from_numpy(np.flatnonzero(~is_dslr)), self.device)
                with torch.no_grad(), self.autocast():
                    made = self.state.enhancer(self.photos(batch.seen[part][~is_dslr]))
                shown[fake] = leave_out(made.to(shown.dtype), shown[fake], None if valid is None else valid[fake])
            sums += self.judge(shown, is_dslr, batch.whole)
        return self.verdict_figures(sums)

    def discriminator_step_on_both(self, batch: Batch, fakes: Tensor) -> Tensor:
        """Show the discriminator the DSLR patches of a batch and their `fakes`, all in one pass (the paper)."""
        shown = torch.cat([self.photos(batch.dslr), fakes.float()])
        sums = self.judge(shown, np.arange(len(shown)) < len(fakes), 2 * batch.whole)
        return self.verdict_figures(sums)

    def judge(self, shown: Tensor, is_dslr: NDArray[np.bool_], whole: int) -> Tensor:
        """Gather the discriminator's gradient on (a part of) what it is shown; return its shares [loss, accuracy]."""
        truth = placed(torch.from_numpy(is_dslr), self.device)
        with self.autocast():
            logits = self.state.discriminator(shown)
            loss = discriminator_loss(logits, truth, self.recipe.adversary, whole)
        self.state.scaler.scale(loss).backward()
        return torch.stack([loss.detach(), discriminator_accuracy(logits.detach(), truth) * (len(shown) / whole)])

    def verdict_figures(self, sums: Tensor) -> Tensor:
        """Move the discriminator by the gradient that `judge` gathered; return [loss, accuracy, norm]."""
        norm = self.descend(self.state.discriminator, self.state.discriminator_adam)
        return torch.cat([summed(sums, self.process.count), norm])

    def health(self, batch: Batch, accuracies: Sequence[float]) -> dict[str, float]:
        """The mean of the discriminator's accuracies, and the texture loss's share of the gradients; moves nothing.

        The share is that of the length of the weighted texture loss's gradient at the enhanced patches, as the running
        mean makes them, in the sum of all losses' lengths; of as many patches of `batch` as are computed at once.
        """
        if not self.adversarial:
            return {}
        part = slice(0, CHUNK_ON_CPU)
        seen, dslr = self.photos(batch.seen[part]), self.photos(batch.dslr[part])
        with torch.no_grad():
            enhanced = self.state.mean(seen).float()
        enhanced.requires_grad_()
        self.state.discriminator.eval()  # so that its normalisation moves on by nothing
        losses = generator_losses(
            enhanced,
            dslr,
            recipe=self.recipe,
            discriminator=self.state.discriminator,
            vgg=self.vgg,
            batch_size=batch.whole,
            valid=self.valid(batch, part),
        )
        self.state.discriminator.train()
        weighted = {name: self.recipe.weight(name) * getattr(losses, name) for name in LOSSES}
        lengths = {
            name: torch.autograd.grad(loss, enhanced, retain_graph=True)[0].norm().item() if loss.requires_grad else 0.0
            for name, loss in weighted.items()
        }
        mean = {"mean_accuracy": float(np.mean(accuracies))} if accuracies else {}
        return mean | {"texture_share": lengths["texture"] / max(sum(lengths.values()), TINY)}

    def pretrain_discriminator(self) -> None:
        """Teach the discriminator to tell phone patches from DSLR patches, where recipe or settings say so (3.1.2).

        A model that training starts from makes its own of the phone patches: those it will be asked about.
        """
        count = self.settings.pretraining
        if count == CHOSEN_PRETRAINING:
            count = int(self.settings.steps * PRETRAINING_SHARE) if self.recipe.pretrain_discriminator else 0
        if not (count and self.adversarial):
            return
        from_model = self.settings.start not in STARTS
        steps, done = range(count), list[StepFigures]()
        for read in read_ahead(self.pairs, (PRETRAINING_BATCH,), steps, self.process.rank, self.process.count):
            batch = read.batches[0]
            phone = self.photos(batch.phone)
            if from_model:
                with torch.no_grad(), self.autocast():
                    phone = self.state.mean(self.photos(batch.seen)).to(phone.dtype)
            if batch.valid is not None:
                phone = leave_out(phone, self.photos(batch.dslr), self.valid(batch, slice(None)))
            verdict = self.discriminator_step_on_both(batch, phone)
            self.state.scaler.update()
            done.append(StepFigures(read.step, self.rates(read.step), None, verdict, PRETRAINING_BATCH))
            if len(done) == self.figures_every or read.step == steps[-1]:
                self.figures_of(done)
                done.clear()

    def descend(self, network: PhotoNetwork | Discriminator, adam: torch.optim.Adam) -> Tensor:
        """Sum the gradients over all processes, clip them, do Adam's step; return the norm before, (1,)."""
        scaler = self.state.scaler
        sum_gradients(network.parameters(), self.process.count)
        scaler.unscale_(adam)
        norm = get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        if self.settings.clip_norm:
            clip_grads_with_norm_(network.parameters(), self.settings.clip_norm, norm)
        if not scaler.is_enabled():  # a scaler says so by itself
            adam.found_inf = norm.isfinite().logical_not().float()  # type: ignore[attr-defined]  # the step is left out
        scaler.step(adam)
        adam.zero_grad(set_to_none=True)
        return norm.float().view(1)

    def check_finite(self, losses: dict[str, float], norm: float, purpose: int, step: int) -> None:
        """Stop the run where a figure is not finite: InputError names step, patches and the last good checkpoint."""
        # under fp16 a gradient that overflows is no fault: the scaler leaves the step out
        figures = losses if self.state.scaler.is_enabled() else losses | {"the gradient's norm": norm}
        for name, value in figures.items():
            if not np.isfinite(value):
                patches = "; ".join(self.pairs.patch_ids(self.pairs.indices(purpose, step)))
                raise InputError(
                    f"step {step + 1}: {name} is {value}, it must be finite; {last_checkpoint_text(self.folder)}; "
                    f"try a lower --learning-rate, --clip-norm or --precision fp32; patches of the batch: {patches}"
                )

    def parts(self, batch: Batch) -> Iterator[slice]:
        """Cut a batch into what is computed at once; batch normalisation needs all of it."""
        count = len(batch.indices)
        whole = self.recipe.normalisation == "batch" or (self.device.type != "cpu" and not self.settings.chunk)
        size = count if whole else self.settings.chunk or CHUNK_ON_CPU
        return (slice(start, start + size) for start in range(0, count, max(size, 1)))

    def photos(self, patches: NDArray[np.uint8] | NDArray[np.uint16]) -> Tensor:
        """Patches as the networks see them, on the device."""
        return photos_from_bytes(patches, self.device)

    def valid(self, batch: Batch, part: slice) -> Tensor | None:
        """The masks of (a part of) a batch on the device; None where there are none."""
        return None if batch.valid is None else placed(torch.from_numpy(batch.valid[part]), self.device)

    def autocast(self) -> torch.autocast:
        """The arithmetic of the settings; float32 stays float32."""
        enabled = self.precision is not torch.float32
        return torch.autocast(self.device.type, self.precision if enabled else torch.bfloat16, enabled=enabled)
