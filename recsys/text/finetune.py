"""Fine-tuning: the trunk learns which texts belong together in this shop, and heads learn what texts say.

One batch holds pairs of every kind. Texts that occur in several pairs are read once, and each query is told apart from all documents
of the batch but those that it is linked with, so that no negative is false. Two facts make a killed run go on bit by bit: what is
drawn in a step, and its dropout, depend on the seed and the number of the step alone; weights and optimizer are kept at every validation.

torch and peft are imported when training begins, not with this module.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.config import FinetuneConfig, TextConfig
from recsys.errors import ConfigError, DataError
from recsys.text.contrast import hardest, info_nce
from recsys.text.encoder import Progress, load_encoder
from recsys.text.heads import FOLDER, Head, Heads
from recsys.text.lesson import Batch, Lesson, linked_pairs
from recsys.text.metrics import MetricLog
from recsys.text.trunk import Trunk, load_trunk
from recsys.threads import limit_threads
from recsys.types import Ints

if TYPE_CHECKING:
    import torch

METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.pt"
REPORT = "finetuning.json"
"""What `finetune` returns, beside the model."""
_SCALE = 16.0
"""Embeddings are short, so logits of heads are this many times what their weights say while they learn."""
_HEAD_SPEED = 10.0
"""Heads begin at nothing and learn so many times faster than the trunk."""


@dataclass
class _State:
    """What changes while learning. best: weights and heads of the best validation; hard: rows (n_sample, n_hard), empty before mined."""

    step: int = 0
    best_step: int = 0
    recalls: list[float] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    hard: Ints = field(default_factory=lambda: np.empty((0, 0), np.int32))


class _Training:
    """One run of fine-tuning."""

    def __init__(self, trunk: Trunk, lesson: Lesson, config: FinetuneConfig, work: Path, key: str, seed: int) -> None:
        import torch

        self.trunk, self.lesson, self.config, self.seed, self.work, self.key = trunk, lesson, config, seed, work, key
        device = trunk.model.device
        heads = lesson.heads if config.head_weight > 0 else {}
        self.heads = torch.nn.ModuleDict({name: _zeros(trunk.dim, len(head.classes)) for name, head in heads.items()}).to(device)
        self.words = _WordGuesser(trunk, seed) if config.mlm_weight > 0 else None
        self.optimizer = torch.optim.AdamW(_groups(trunk, self.heads, self.words, config))
        self.speeds = [group["lr"] for group in self.optimizer.param_groups]
        self.state = _State()
        self.place_in_sample = np.full(lesson.n_documents, -1, np.int64)
        self.place_in_sample[lesson.sample] = np.arange(len(lesson.sample))

    def run(self, progress: Progress) -> None:
        """Learn until the steps are done or validation no longer improves; ends with the best weights."""
        config = self.config
        is_new = not self.state.best
        with MetricLog(self.work / METRICS, None if is_new else self.state.step) as log:
            if is_new:
                self._validate(log)
            while self.state.step < config.n_steps and not self._is_stale():
                self.state.step += 1
                log.write(self.state.step, self._step())
                progress(self.state.step, config.n_steps, "fine-tuning")
                if self.state.step % config.validate_every == 0 or self.state.step == config.n_steps:
                    self._validate(log)
        self._restore(self.state.best)

    def _is_stale(self) -> bool:
        recalls = self.state.recalls
        return bool(recalls) and len(recalls) - 1 - int(np.argmax(recalls)) >= self.config.patience

    def _step(self) -> dict[str, float]:
        import torch

        rng = np.random.default_rng([self.seed, self.state.step])
        batch = Batch.draw(self.lesson, self.config, self._hard_of, list(self.heads), rng)
        losses: dict[str, float] = {}
        for group, speed in zip(self.optimizer.param_groups, self.speeds, strict=True):
            group["lr"] = speed * _schedule(self.state.step, self.config)
        self.optimizer.zero_grad(set_to_none=True)
        dropout = int(rng.integers(2**40))
        config = self.config
        if batch.drawn or batch.labelled:
            losses["loss"] = self.trunk.learn(
                batch.rows,
                lambda embeddings: self._objective(embeddings, batch, losses),
                config.micro_batch,
                config.cache_gradients,
                dropout,
            )
        if self.words is not None:
            guessed = rng.choice(batch.rows, min(len(batch.rows), config.micro_batch), replace=False)
            loss = self.trunk.masked_words(guessed, self.words, dropout)
            (config.mlm_weight * loss).backward()  # type: ignore[no-untyped-call]
            losses["loss_mlm"] = float(loss.detach())
        learning = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        losses["gradient"] = float(torch.nn.utils.clip_grad_norm_(learning, config.clip_norm))
        self.optimizer.step()
        return {**losses, "learning_rate": self.optimizer.param_groups[0]["lr"]}

    def _objective(self, embeddings: torch.Tensor, batch: Batch, losses: dict[str, float]) -> torch.Tensor:
        import torch

        total = embeddings.new_zeros(())
        for name, drawn in batch.drawn.items():
            contrast = batch.contrast(drawn, self.lesson, self.config.spare_cobought)
            loss = info_nce(embeddings, *contrast, self.config.temperature)
            losses[f"loss_{name}"] = float(loss.detach())
            total = total + loss * (len(drawn.wanted) / batch.n_queries)
        for name, (places, labels) in batch.labelled.items():
            logits = _SCALE * self.heads[name](embeddings[places])
            loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long().to(logits.device))
            losses[f"loss_{name}"] = float(loss.detach())
            total = total + loss * (self.config.head_weight / len(batch.labelled))
        return total

    def _hard_of(self, documents: Ints, rng: np.random.Generator) -> Ints:
        """Mined negatives of each document; none before the second phase."""
        places = self.place_in_sample[documents[documents < self.lesson.n_documents]]
        places = places[places >= 0]
        if not self.state.hard.size:
            return np.empty(0, np.int32)
        return rng.permuted(self.state.hard[places], axis=1)[:, : self.config.hard_negatives].ravel().astype(np.int32)

    def _validate(self, log: MetricLog) -> None:
        """Measure, keep what is best, mine hard negatives where it is time, and save all."""
        state, lesson, config = self.state, self.lesson, self.config
        is_mining = config.hard_negatives > 0 and len(lesson.sample) > 1 and bool(lesson.pairs)
        is_mining = is_mining and state.step >= config.hard_after * config.n_steps
        if lesson.validate is not None or is_mining:
            embeddings = self.trunk.embed(lesson.sample, config.micro_batch)
            if lesson.validate is not None:
                state.recalls.append(lesson.validate(embeddings))
                log.write(state.step, {"Recall@20": state.recalls[-1]})
            if is_mining:
                state.hard = lesson.sample[hardest(embeddings, linked_pairs(lesson.links)[lesson.sample][:, lesson.sample])]
        if not state.recalls or state.recalls[-1] > max(state.recalls[:-1], default=-1.0):
            state.best, state.best_step = self._weights(), state.step
        self._save()

    def _weights(self) -> dict[str, Any]:
        kept = {**self.trunk.parameters(), **{f"heads.{name}": weight for name, weight in self.heads.named_parameters()}}
        if self.words is not None:
            kept |= {f"words.{name}": weight for name, weight in self.words.own.named_parameters()}
        return {name: weight.detach().cpu().clone() for name, weight in kept.items()}

    def _restore(self, kept: Mapping[str, Any]) -> None:
        import torch

        places = {**self.trunk.parameters(), **{f"heads.{name}": weight for name, weight in self.heads.named_parameters()}}
        if self.words is not None:
            places |= {f"words.{name}": weight for name, weight in self.words.own.named_parameters()}
        with torch.no_grad():
            for name, weight in places.items():
                weight.copy_(kept[name])

    def _save(self) -> None:
        import torch

        state = self.state
        contents = {
            "key": self.key,
            "weights": self._weights(),
            "optimizer": self.optimizer.state_dict(),
            "best": state.best,
            "hard": torch.from_numpy(state.hard),
            "numbers": {"step": state.step, "best_step": state.best_step, "recalls": state.recalls},
        }
        partial = self.work / "checkpoint.partial"
        torch.save(contents, partial)
        partial.replace(self.work / CHECKPOINT)

    def resume(self) -> None:
        """Go on from the checkpoint in the work folder, if it belongs to this very training."""
        import torch

        path = self.work / CHECKPOINT
        if not path.is_file():
            return
        contents = torch.load(path, map_location="cpu", weights_only=True)
        if contents["key"] != self.key:
            return
        self._restore(contents["weights"])
        self.optimizer.load_state_dict(contents["optimizer"])
        self.state = _State(**contents["numbers"], best=contents["best"], hard=contents["hard"].numpy())

    def learnt_heads(self) -> Heads:
        """The heads as numpy reads them: all classes were drawn alike, so the bias makes up for how frequent each is."""
        found = {}
        for name, layer in self.heads.items():
            learnt = {part: weight.detach().cpu().numpy() * np.float32(_SCALE) for part, weight in layer.named_parameters()}
            labelled = self.lesson.heads[name]
            found[name] = Head(labelled.classes, learnt["weight"].T, learnt["bias"] + np.log(labelled.shares))
        return Heads(found)


class _WordGuesser:
    """Hidden states -> logits of tokens; shares the trunk's word embeddings, as BERT's own head does."""

    def __init__(self, trunk: Trunk, seed: int) -> None:
        import torch

        self._words = trunk.model.get_input_embeddings().weight
        if self._words.shape[1] != trunk.dim:
            raise ConfigError(f"finetune.mlm_weight needs word embeddings as wide as the model ({trunk.dim}), not {self._words.shape[1]}")
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            layers = torch.nn.Linear(trunk.dim, trunk.dim), torch.nn.GELU(), torch.nn.LayerNorm(trunk.dim)
        self.own = torch.nn.Sequential(*layers).to(self._words.device)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.own(states) @ self._words.T  # (m, n_tokens)
        return logits


def finetune(
    lesson: Lesson, text: TextConfig, config: FinetuneConfig, work: Path, out: Path, *, seed: int, n_threads: int, progress: Progress
) -> dict[str, Any]:
    """Fine-tune the trunk and write the best of it to `out`: a Hugging Face folder that ``text.trunk`` may name.

    With equal inputs, libraries, thread count and processor two runs write the same weights, also when one of them was killed.
    Beside the model `out` holds its classification heads, where there were labels, and ``finetuning.json``, what is returned.

    Args:
        work: folder for the checkpoint, and for the metrics as lines of JSON and as TensorBoard reads them; a run goes on from the
            checkpoint that it finds there, if that was made with equal inputs.

    Returns:
        Recall@20 at every validation, the first of them untuned; best_step, whose weights were kept, the best or, without validation, the
        last; n_steps, how many were made; heads, those that were trained (none where step 0 stayed the best); known_until, of the lesson.

    Raises:
        ConfigError: as `load_trunk`; or masked words or adapters do not fit the model.
        DataError: there is nothing to learn from.
    """
    if not lesson.pairs and not lesson.heads and not config.mlm_weight:
        raise DataError("there is nothing to fine-tune on: no pairs of texts, no labelled texts, and finetune.mlm_weight is 0")
    work.mkdir(parents=True, exist_ok=True)
    with limit_threads(n_threads):
        trunk = load_trunk(text, n_threads, lesson.texts, config.lora_rank, seed)
        with limit_threads(n_threads):  # torch may have come with the trunk
            training = _Training(trunk, lesson, config, work, _key(lesson, text, config, seed, n_threads), seed)
            training.resume()
            training.run(progress)
            report: dict[str, Any] = {"known_until": lesson.known_until, "Recall@20": training.state.recalls, "heads": []}
            report |= {"best_step": training.state.best_step, "n_steps": training.state.step}
            out.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(out / FOLDER, ignore_errors=True)  # heads of another trunk
            trunk.save(out)
    heads = training.learnt_heads()
    if heads.by_name and training.state.best_step:  # at step 0 they know nothing yet
        heads.save(out / FOLDER)
        report["heads"] = list(heads.by_name)
    (out / REPORT).write_text(json.dumps(report), encoding="utf-8")
    return report


def _key(lesson: Lesson, text: TextConfig, config: FinetuneConfig, seed: int, n_threads: int) -> str:
    """Digest of all that a training depends on, as far as it can be told beforehand."""
    encoder = load_encoder(text, n_threads)
    parts = (lesson.fingerprint(seed), encoder.fingerprint, encoder.arithmetic, config.model_dump(), seed)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _zeros(n_in: int, n_out: int) -> torch.nn.Linear:
    import torch

    layer = torch.nn.Linear(n_in, n_out)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer


def _groups(trunk: Trunk, heads: torch.nn.ModuleDict, words: _WordGuesser | None, config: FinetuneConfig) -> list[dict[str, Any]]:
    """What learns, and how fast; matrices decay, biases and norms do not."""
    weights = list(trunk.parameters().values()) + (list(words.own.parameters()) if words is not None else [])
    flat = [weight for weight in weights if weight.ndim < 2]
    matrices = [weight for weight in weights if weight.ndim >= 2]
    speed, decay = config.learning_rate, config.weight_decay
    groups = [{"params": matrices, "lr": speed, "weight_decay": decay}, {"params": flat, "lr": speed, "weight_decay": 0.0}]
    groups.append({"params": list(heads.parameters()), "lr": speed * _HEAD_SPEED, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _schedule(step: int, config: FinetuneConfig) -> float:
    """Factor of the learning rate, in (0, 1]; steps count from 1."""
    warm = config.warmup_share * config.n_steps
    return step / warm if step < warm else (config.n_steps + 1 - step) / (config.n_steps + 1 - warm)
