"""The language model that a configuration names, opened where keys and clocks are: at the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.markup import escape

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError
from recsys.training.stages import stage_seed
from segmentation.llm.http import Endpoint
from segmentation.llm.language_model import Answers, LanguageModel, Prompt
from segmentation.llm.local import load_local
from segmentation.llm.masking import Masker
from segmentation.llm.pacing import Clock
from segmentation.llm.usage import Usage
from segrec.console import say


class Metered:
    """A language model that adds up what its answers take."""

    def __init__(self, of: LanguageModel) -> None:
        self._of = of
        self.usage = Usage()
        self.failures: dict[str, int] = {}

    @property
    def model(self) -> str:
        return self._of.model

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        return self._noted(self._of.choose(prompts, choices))

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        return self._noted(self._of.write(prompts, max_tokens, schema))

    def _noted(self, answers: Answers) -> Answers:
        for number, answer in answers:
            self.usage += answer.usage
            if answer.failure:
                why = f"{answer.failure}: {answer.detail}"
                self.failures[why] = self.failures.get(why, 0) + 1
            yield number, answer


@contextmanager
def language_model(config: Config, dataset: Dataset) -> Iterator[LanguageModel | None]:
    """The model for the time of the block; at its end one line on stderr says what it took, and one what it did not answer, and why.

    Yields None where the configuration names no model.

    Raises:
        ConfigError: a column of llm.name_columns is not in the customers table.
        LanguageModelError: the environment variable for the key is not set, or there is no model in the folder.
    """
    if not config.llm.is_set:
        yield None
        return
    with _opened(config, dataset) as model:
        metered = Metered(model)
        try:
            yield metered
        finally:
            _tell(metered)


@contextmanager
def _opened(config: Config, dataset: Dataset) -> Iterator[LanguageModel]:
    settings = config.llm
    if settings.folder is not None:
        folder = Path(settings.folder)
        path = folder if settings.gguf_file is None else folder / settings.gguf_file
        yield load_local(path, n_threads=config.training.n_threads, now=time.monotonic, batch_size=settings.batch_size)
        return
    with Endpoint(
        settings.endpoint_settings(),
        environment=os.environ,
        rng=np.random.default_rng(stage_seed(config.training.seed, "endpoint")),
        clock=Clock(time.monotonic, time.sleep),
        masker=Masker(_names(dataset, settings.name_columns)),
    ) as endpoint:
        yield endpoint


def _names(dataset: Dataset, columns: Sequence[str]) -> set[str]:
    """Names of people in the customers table."""
    if not columns:
        return set()
    path = dataset.folder / "customers.parquet"
    there = pq.read_schema(path).names if path.is_file() else []
    if missing := [column for column in columns if column not in there]:
        raise ConfigError(f"llm.name_columns names {missing[0]!r}, which {path} does not have; it has: {', '.join(there) or 'no columns'}")
    table = pq.read_table(path, columns=list(columns))
    return {str(name) for column in columns for name in table[column].to_pylist() if name}


def _tell(metered: Metered) -> None:
    usage, name = metered.usage, escape(metered.model)
    if not usage.calls:
        say(f"language model {name}: nothing had to be asked")
    else:
        cost = f", cost {usage.cost:.4f}" if usage.cost else ""
        say(
            f"language model {name}: {usage.calls:,} requests, {usage.tokens_in:,} tokens read, {usage.tokens_out:,} written{cost}; "
            f"{usage.seconds:.0f} s of waiting for answers; {usage.masked:,} pieces of personal data masked"
        )
    if metered.failures:
        n, why = sum(metered.failures.values()), escape(next(iter(metered.failures)))
        say(f"[bold]{n:,} questions went without an answer[/bold] ({why}); what rests on them is marked, and the next run asks again")
