"""A causal language model on this machine, through transformers; GGUF files included. Nothing leaves it and nothing is fetched.

Choices are not generated but scored, so an answer is always one of them:

    score(choice) = log p(choice | prompt with the text), summed over its tokens,
                    - mean over TELLING_NOTHING of the log of its share among the choices after such a text instead

The second term takes away what makes a choice likely before the text is read: its length, its frequency, its place in the prompt. (A mean
over tokens favours long choices whose end follows from their beginning; the first token alone cannot tell "very good" from "very bad".)

Source: Zhao et al. (2021), "Calibrate Before Use", ICML, content-free inputs; Holtzman et al. (2021), "Surface Form Competition", EMNLP.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from segmentation.errors import LanguageModelError
from segmentation.llm.language_model import TOO_LONG, Answer, Answers, Prompt
from segmentation.llm.rendering import OPEN, messages, plain
from segmentation.llm.scoring import Scorer, Tokens, common_length, limited_threads
from segmentation.llm.usage import Usage

TELLING_NOTHING = (
    "I bought this.",
    "It is a product.",
    "This is about the order.",
    "我买了这个。",
    "这是一件商品。",
    "这是订单的事。",
)
"""Texts without an opinion, a wish or a need."""
_BATCH_TOKENS = 8192
"""Long texts are read in smaller batches, one longer than this alone: memory grows with both."""
_SAMPLE_BYTES = 1 << 20
_STOPS = (OPEN, "\n\n")
"""Where a model that knows no turns has finished its answer and goes on to invent the next text."""


class LocalModel:
    """A `LanguageModel` in memory; one thread at a time may use it."""

    def __init__(self, network: Any, tokenizer: Any, model: str, *, n_threads: int, now: Callable[[], float], batch_size: int = 16) -> None:
        """network, tokenizer: a causal model of transformers in evaluation mode, and its tokenizer; model: the id of both; now: seconds."""
        if n_threads < 1 or batch_size < 1:
            raise ValueError(f"n_threads and batch_size must be at least 1, got {n_threads} and {batch_size}")
        self._network, self._tokenizer, self._model = network, tokenizer, model
        self._n_threads, self._batch_size, self._now = n_threads, batch_size, now
        self._max_tokens = int(getattr(network.config, "max_position_embeddings", None) or 1 << 30)
        self._pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
        special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        self._control = [token for token in special if not set("<>") & set(token)]  # those are taken out of every text anyway

    @property
    def model(self) -> str:
        return self._model

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        """As `LanguageModel.choose`: the best score; the confidence is its share among the choices, by softmax of the scores."""
        options = self._options(choices)
        longest = self._max_tokens - max(map(len, options))
        alike: dict[Prompt, list[int]] = {}
        for number, prompt in enumerate(prompts):
            alike.setdefault(replace(prompt, text=""), []).append(number)
        for question, numbers in alike.items():
            rows = {number: self._tokens(prompts[number]) for number in numbers}
            for number in [number for number in numbers if len(rows[number]) > longest]:
                yield number, _too_long(len(rows.pop(number)), longest)
            usual = [self._tokens(replace(question, text=text)) for text in TELLING_NOTHING]
            yield from self._scored(usual, rows, options, choices)

    def _scored(self, usual: Sequence[Tokens], rows: Mapping[int, Tokens], options: Sequence[Tokens], choices: Sequence[str]) -> Answers:
        head = common_length([*usual, *rows.values()])
        with limited_threads(self._n_threads):
            scorer = Scorer(self._network, usual[0][:head], options, self._pad)
            expected = _log_shares(scorer.log_likelihoods([row[head:] for row in usual])).mean(axis=0)
        for numbers in self._batches(rows):
            started = self._now()
            with limited_threads(self._n_threads):
                scores = scorer.log_likelihoods([rows[number][head:] for number in numbers]) - expected
            seconds = (self._now() - started) / len(numbers)
            for number, row in zip(numbers, scores, strict=True):
                shares = np.exp(_log_shares(row))
                usage = Usage(calls=1, tokens_in=len(rows[number]), seconds=seconds)
                yield number, Answer(choices[int(row.argmax())], float(shares.max()), usage=usage)

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        """As `LanguageModel.write`: the likeliest tokens one by one. The schema is not enforced; the instruction should describe it."""
        rows = {number: self._tokens(prompt) for number, prompt in enumerate(prompts)}
        longest = self._max_tokens - max_tokens
        for number in [number for number in rows if len(rows[number]) > longest]:
            yield number, _too_long(len(rows.pop(number)), longest)
        for numbers in self._batches(rows):
            started = self._now()
            with limited_threads(self._n_threads):
                written = self._continue([rows[number] for number in numbers], max_tokens)
            seconds = (self._now() - started) / len(numbers)
            for number, tokens in zip(numbers, written, strict=True):
                text = self._cut(self._tokenizer.decode(tokens, skip_special_tokens=True))
                yield number, Answer(text, usage=Usage(calls=1, tokens_in=len(rows[number]), tokens_out=len(tokens), seconds=seconds))

    def _continue(self, rows: Sequence[Tokens], max_tokens: int) -> list[Tokens]:
        """The likeliest tokens after each row, until each has stopped."""
        import torch

        longest = max(map(len, rows))
        device = self._network.device
        padded = torch.tensor([(self._pad,) * (longest - len(row)) + row for row in rows], device=device)
        real = torch.tensor([(0,) * (longest - len(row)) + (1,) * len(row) for row in rows], device=device)

        def stopped(tokens: Any, _: Any, **__: Any) -> Any:
            texts = self._tokenizer.batch_decode(tokens[:, longest:], skip_special_tokens=True)
            return torch.tensor([self._cut(text) != text.strip() for text in texts], device=device)

        written = self._network.generate(
            padded,
            attention_mask=real,
            max_new_tokens=max_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=self._pad,
            stopping_criteria=[stopped],
        )
        return [tuple(row) for row in written[:, longest:].tolist()]

    def _cut(self, text: str) -> str:
        """What was written up to where a model without turns should have stopped."""
        if not self._has_turns:
            text = text.lstrip()
            text = text[: min((at for stop in _STOPS if (at := text.find(stop)) >= 0), default=len(text))]
        return text.strip()

    def _batches(self, rows: Mapping[int, Tokens]) -> Iterator[list[int]]:
        """Numbers of rows of about the same length, so that little is padded; at most batch_size, and fewer where they are long."""
        batch: list[int] = []
        for number in sorted(rows, key=lambda number: len(rows[number])):
            if batch and (len(batch) == self._batch_size or (len(batch) + 1) * len(rows[number]) > _BATCH_TOKENS):
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    @property
    def _has_turns(self) -> bool:
        return bool(self._tokenizer.chat_template)

    def _rendered(self, prompt: Prompt) -> str:
        text = prompt.text
        for token in self._control:
            text = text.replace(token, f"{token[0]} {token[1:]}")  # the tokenizer would take it for the real one
        prompt = replace(prompt, text=text)
        if not self._has_turns:
            return plain(prompt)
        turns = messages(prompt)
        try:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        except TemplateError:  # it knows no system turn
            first = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
            return str(self._tokenizer.apply_chat_template([first, *turns[2:]], tokenize=False, add_generation_prompt=True))

    def _tokens(self, prompt: Prompt) -> Tokens:
        return tuple(self._tokenizer.encode(self._rendered(prompt), add_special_tokens=not self._has_turns))

    def _options(self, choices: Sequence[str]) -> list[Tokens]:
        """Tokens of each choice as an answer; with an end where one choice begins with another."""
        options = [self._continuation(choice) for choice in choices]
        if any(first != second and second[: len(first)] == first for first in options for second in options):
            end = self._continuation("\n", space="")
            options = [option + end for option in options]
        if len(set(options)) < len(options) or not all(options):
            raise ValueError(f"this model's tokenizer cannot tell these choices apart: {', '.join(choices)}")
        return options

    def _continuation(self, text: str, space: str = " ") -> Tokens:
        """The tokens of a text in the place of an answer: what it adds to the tokens before it."""
        before, space = ("\n", "") if self._has_turns else ("Answer:", space)
        alone = self._tokenizer.encode(before, add_special_tokens=False)
        together = self._tokenizer.encode(f"{before}{space}{text}", add_special_tokens=False)
        if together[: len(alone)] == alone and len(together) > len(alone):
            return tuple(together[len(alone) :])
        return tuple(self._tokenizer.encode(f"{space}{text}", add_special_tokens=False))


def load_local(path: Path, *, n_threads: int, now: Callable[[], float], batch_size: int = 16, dtype: str = "float32") -> LocalModel:
    """Load a model from a folder as transformers saves it, or from one .gguf file (which needs the package gguf, and is unpacked to dtype).

    Args:
        now: seconds that only go forward, to say how long answers took
        batch_size: texts read at once
        dtype: a name that torch knows; bfloat16 takes half the memory, and on processors without it many times longer

    Raises:
        LanguageModelError: nothing to load there, or transformers cannot.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = path.expanduser()
    if not path.exists():
        raise LanguageModelError(f"there is no model at {path}; name a folder as transformers saves it, or a .gguf file")
    folder, file = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    try:
        with limited_threads(n_threads):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **file)
        network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=getattr(torch, dtype), **file).eval()
    except ImportError as error:
        raise LanguageModelError(f"the model at {path} needs a package that is not installed: {error}") from error
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, struct.error, SafetensorError) as error:
        raise LanguageModelError(f"transformers cannot load the model at {path}: {error}") from error
    return LocalModel(network, tokenizer, f"local:{path.name}@{_fingerprint(path)}", n_threads=n_threads, now=now, batch_size=batch_size)


def _fingerprint(path: Path) -> str:
    """A hash of sizes, beginnings and ends of the files that make the model: enough to tell two apart without reading them all."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.suffix in (".safetensors", ".bin", ".gguf", ".json", ".model", ".jinja"):
            size = file.stat().st_size
            digest.update(f"{file.name} {size} ".encode() if path.is_dir() else f"{size} ".encode())
            with file.open("rb") as data:
                digest.update(data.read(_SAMPLE_BYTES))
                data.seek(max(size - _SAMPLE_BYTES, 0))
                digest.update(data.read())
    return digest.hexdigest()[:12]


def _log_shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True), np.float64)


def _too_long(n_tokens: int, longest: int) -> Answer:
    return Answer(failure=TOO_LONG, detail=f"{n_tokens} tokens, at most {longest} fit")
