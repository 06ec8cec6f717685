"""Any endpoint that speaks OpenAI's chat completions: one request per text, several at once, within its limits.

One text per request, although more would be cheaper: texts that share a prompt can talk to each other's labels.

What leaves the machine is masked first, and the key goes into one header and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import numpy as np

from segmentation.llm.endpoint import EndpointSettings
from segmentation.llm.language_model import Answer, Answers, Prompt
from segmentation.llm.masking import Masker
from segmentation.llm.pacing import Clock
from segmentation.llm.sending import Breaker, Sender, Task
from segmentation.llm.wire import choice_schema, choice_tokens


class Endpoint:
    """A `LanguageModel` behind HTTP. Close it, or use it in a ``with`` block."""

    def __init__(
        self, settings: EndpointSettings, *, environment: Mapping[str, str], rng: np.random.Generator, clock: Clock, masker: Masker
    ) -> None:
        """Open, without asking anything yet.

        Args:
            environment: where the key is looked up, os.environ from the command line
            rng: for the waits between attempts; answers do not depend on it
            masker: hides personal data in every text that is sent

        Raises:
            LanguageModelError: the key that the settings name is not there.
        """
        self._settings = settings
        self._sender = Sender(settings, settings.key(environment), rng, clock, masker)

    @property
    def model(self) -> str:
        return self._settings.model_id

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        """As `LanguageModel.choose`; where the endpoint knows no schemas, an answer may be none of the choices."""
        schema, max_tokens = choice_schema(choices), choice_tokens(choices)
        return self._answers([Task(prompt, max_tokens, schema, tuple(choices)) for prompt in prompts])

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        return self._answers([Task(prompt, max_tokens, schema) for prompt in prompts])

    def _answers(self, tasks: Sequence[Task]) -> Answers:
        breaker, waiting = Breaker(), iter(enumerate(tasks))
        running: dict[Future[Answer], int] = {}
        pool = ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="endpoint")
        try:
            while True:
                for number, task in islice(waiting, self._settings.concurrency - len(running)):
                    running[pool.submit(self._sender.answer, task, breaker)] = number
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    breaker.note(done.result())
                    yield running.pop(done), done.result()
        finally:
            breaker.stop("no longer wanted")
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        self._sender.close()

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
