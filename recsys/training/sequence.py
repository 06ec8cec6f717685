"""Fitting the sequence model: after each item of a history, which one came next?

Every item is a target once in an epoch (`recsys.training.sequence_batches`). What is kept is a moving average of the weights over the
epochs, as it was when validation, which asks as requests do, liked it best. What an epoch draws depends on the seed and its number alone,
and all is saved after each, so a killed training goes on to the same result. torch is imported when training begins.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recsys.candidates.occasions import ages, distances
from recsys.candidates.sequence import SequenceSource
from recsys.candidates.transformer import Transformer
from recsys.source_config import IndexConfig, SequenceConfig
from recsys.text.index import VectorIndex
from recsys.text.metrics import MetricLog
from recsys.threads import limit_threads
from recsys.training.sequence_batches import Batch, Sequences, batches
from recsys.training.sequence_items import all_items, begin
from recsys.training.sequence_network import ITEMS, Network, transformer_of
from recsys.training.sequence_validation import Validation, hold_out
from recsys.training.stages import Progress, silent
from recsys.types import Floats, Interactions

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"
N_QUERIES = 500
"""Customers whose states say how hard the index of items has to search."""
_DECAY = 0.75
"""In the moving average each epoch's weights count for so much of the next's."""
_WARM_STEPS, _WARM_EPOCHS = 200, 2
"""The learning rate rises over so many steps or epochs, whichever are fewer."""


def fit_sequence(
    lines: Interactions,
    n_items: int,
    texts: Floats | None,
    config: SequenceConfig,
    index_config: IndexConfig,
    *,
    seed: int,
    n_threads: int,
    work: Path,
    progress: Progress = silent,
) -> SequenceSource:
    """Learn from the positive lines of known customers; with equal inputs, libraries, device and thread count two fits are equal
    on a processor; a GPU, where there is one, adds in no fixed order.

    Items that no customer had get the embedding that their text suggests, or zeros without texts. Where no customer ever had a second
    item there is nothing to learn, and the source proposes nothing.

    Args:
        texts: embeddings of the items' texts, (n_items, width); None = there are none.
        work: folder for the checkpoint and the metrics; a fit goes on from the checkpoint there, if that was made with equal inputs.

    Source: SASRec of Kang & McAuley (2018), with a softmax over all items and relative positions; see `Transformer`. The average of the
    weights is that of Polyak & Juditsky (1992), exponential and corrected for its beginning as the moments of Adam are.
    """
    import torch

    warm = np.unique(lines.items[lines.customers >= 0])
    places = np.zeros(n_items, np.int32)
    places[warm] = np.arange(len(warm))
    sequences = Sequences.of(lines, places)
    work.mkdir(parents=True, exist_ok=True)
    with limit_threads(n_threads), torch.random.fork_rng():
        start = begin(texts[warm] if texts is not None and config.from_texts else None, len(warm), config, np.random.default_rng(seed))
        training = _Training(sequences, start, config, seed, work, n_threads)
        if (np.diff(sequences.starts) > 1).any():
            training.run(progress)
            items = all_items(training.state.best[ITEMS], warm, n_items, texts)
        else:
            items = np.zeros((n_items, config.dim), np.float32)
        transformer = transformer_of(training.state.best)
        index = VectorIndex.build(items, index_config, _states(transformer, items[warm], sequences, config, seed))
    return SequenceSource(items, index, transformer, config)


def _states(transformer: Transformer, items: Floats, sequences: Sequences, config: SequenceConfig, seed: int) -> Floats:
    """What comes next for some customers, drawn, (m, dim)."""
    drawn = np.random.default_rng(seed).permutation(len(sequences))[:N_QUERIES].tolist()
    pasts = [sequences.of_customer(customer, config.max_length) for customer in drawn]
    return np.array([transformer.state(items[past.items], past) for past in pasts], np.float32).reshape(-1, config.dim)


@dataclass
class _State:
    """What changes while learning.

    mean:  moving average of the weights after each epoch
    ndcgs: its NDCG@10 on validation, after each epoch
    best:  what it was after the best one, or after the last
    """

    mean: dict[str, Floats]
    best: dict[str, Floats]
    epoch: int = 0
    n_steps: int = 0
    ndcgs: list[float] = field(default_factory=list)


class _Training:
    """One fit."""

    def __init__(self, sequences: Sequences, start: Floats, config: SequenceConfig, seed: int, work: Path, n_threads: int) -> None:
        import torch

        self.config, self.seed, self.work = config, seed, work
        device = sequence_device()
        self.key = _key(sequences, start, config, seed, (n_threads, device))
        self.validation: Validation | None
        self.sequences, self.validation = hold_out(sequences, config, np.random.default_rng([seed, 0]))
        self.network = Network(start, config, seed, device)
        self.optimizer = torch.optim.Adam(self.network.weights.values(), config.learning_rate, betas=(0.9, 0.98))
        self.state = _State(self.network.learnt(), self.network.learnt())

    def run(self, progress: Progress) -> None:
        """Learn until the epochs are done or validation no longer improves."""
        config, state = self.config, self._resumed()
        with MetricLog(self.work / METRICS, state.epoch or None) as log:
            while state.epoch < config.n_epochs and not self._is_stale():
                state.epoch += 1
                figures = {"loss": self._epoch()}
                learnt = self.network.learnt()
                share = (1 - _DECAY) / (1 - _DECAY**state.epoch)
                state.mean = {name: state.mean[name] + share * (weight - state.mean[name]) for name, weight in learnt.items()}
                if self.validation is not None:
                    state.ndcgs.append(self.validation.ndcg(state.mean[ITEMS], transformer_of(state.mean)))
                    figures["NDCG@10"] = state.ndcgs[-1]
                if not state.ndcgs or state.ndcgs[-1] > max(state.ndcgs[:-1], default=-1.0):
                    state.best = state.mean
                self._save(learnt)
                log.write(state.epoch, figures)
                progress(state.epoch, config.n_epochs, "sequence model")

    def _is_stale(self) -> bool:
        """Means of several epochs are compared, for the best of one may be luck that the next few cannot repeat."""
        n, ndcgs = self.config.patience, self.state.ndcgs
        return len(ndcgs) >= 2 * n and float(np.mean(ndcgs[-n:])) <= float(np.mean(ndcgs[-2 * n : -n]))

    def _epoch(self) -> float:
        """Learn from every target once; returns the mean cross-entropy."""
        import torch

        rng = np.random.default_rng([self.seed, self.state.epoch])
        torch.manual_seed(int(rng.integers(2**40)))
        sequences = self.sequences.shuffled(rng)
        drawn = list(batches(sequences, self.config.max_length, self.config.batch_items, rng))
        losses, counts = zip(*(self._step(sequences, batch, len(drawn), rng) for batch in drawn), strict=True)
        return float(np.average(losses, weights=np.maximum(counts, 1e-9)))

    def _step(self, sequences: Sequences, batch: Batch, n_batches: int, rng: np.random.Generator) -> tuple[float, int]:
        """One update; returns the mean loss and the number of targets."""
        if not batch.learns.any():
            return 0.0, 0
        self.state.n_steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, self.state.n_steps / min(_WARM_STEPS, _WARM_EPOCHS * n_batches))
        read, aims = batch.rows[:, :-1], sequences.items[batch.rows[:, 1:]]
        occasions = sequences.occasions[read]
        states = self.network.states(sequences.items[read], distances(occasions), ages(sequences.days[read], occasions))
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.network.learn(states[self.network.tensor(batch.learns)], aims[batch.learns], rng)
        self.optimizer.step()
        return loss, int(batch.learns.sum())

    def _save(self, learnt: dict[str, Floats]) -> None:
        import torch

        state = self.state
        contents = {
            "key": self.key,
            "weights": {name: torch.from_numpy(weight) for name, weight in learnt.items()},
            "mean": {name: torch.from_numpy(weight) for name, weight in state.mean.items()},
            "best": {name: torch.from_numpy(weight) for name, weight in state.best.items()},
            "optimizer": self.optimizer.state_dict(),
            "numbers": {"epoch": state.epoch, "n_steps": state.n_steps, "ndcgs": state.ndcgs},
        }
        partial = self.work / "checkpoint.partial"
        torch.save(contents, partial)
        partial.replace(self.work / CHECKPOINT)

    def _resumed(self) -> _State:
        """The state, from the checkpoint in the work folder if it belongs to this very training."""
        import torch

        path = self.work / CHECKPOINT
        contents: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else {}
        if contents.get("key") == self.key:
            with torch.no_grad():
                for name, weight in contents["weights"].items():
                    self.network.weights[name].copy_(weight)
            self.optimizer.load_state_dict(contents["optimizer"])
            mean, best = ({name: weight.numpy() for name, weight in contents[which].items()} for which in ("mean", "best"))
            self.state = _State(mean, best, **contents["numbers"])
        return self.state


def sequence_device() -> str:
    """Where the model learns, "cuda" or "cpu"; other bits come of the one than of the other."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _key(sequences: Sequences, start: Floats, config: SequenceConfig, seed: int, where: tuple[int, str]) -> str:
    """Digest of all that a training depends on, as far as it can be told beforehand. where: threads and device"""
    digest = hashlib.sha256(repr((config.model_dump(), seed, where)).encode())
    for array in (*vars(sequences).values(), start):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
