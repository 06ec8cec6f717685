"""One text to an endpoint and its answer back: attempts, deadline, and the forms of request that the endpoint turns out to know."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import numpy as np

from segmentation.llm.endpoint import EndpointSettings
from segmentation.llm.language_model import DENIED, REJECTED, UNREACHABLE, Answer, Prompt
from segmentation.llm.masking import Masker
from segmentation.llm.pacing import Backoff, Clock, Pacer, retry_after_s
from segmentation.llm.usage import Usage
from segmentation.llm.wire import FORMS, RETRY, Form, Reply, body_tokens, failure, read_answer, read_reply, request_body

MAX_RESPONSE_BYTES = 4_000_000
GIVE_UP_AFTER = 3
"""So many texts in a row that the endpoint would not or could not answer, each after all its attempts, and the rest is not tried."""


class Breaker:
    """Ends a run against an endpoint that is not there: without it every text would go through all its attempts and waits."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self.detail = ""

    def note(self, answer: Answer) -> None:
        """Count one finished text."""
        self._in_a_row = self._in_a_row + 1 if answer.failure in (UNREACHABLE, DENIED) else 0
        if self._in_a_row >= GIVE_UP_AFTER:
            self.stop(f"given up after {self._in_a_row} texts in a row: {answer.detail}")

    def stop(self, detail: str) -> None:
        self.detail = self.detail or detail


@dataclass(frozen=True)
class Task:
    """What is wanted for one text. choices: () = free text; schema: None = no JSON wanted."""

    prompt: Prompt
    max_tokens: int
    schema: Mapping[str, Any] | None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Response:
    """status 0: none came, for the reason in `detail`."""

    status: int
    seconds: float
    payload: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""

    @property
    def reply(self) -> Reply | None:
        return read_reply(self.payload) if self.status == 200 else None

    @property
    def failure(self) -> str:
        return RETRY if self.status in (0, 200) else failure(self.status, self.payload)

    @property
    def said(self) -> str:
        if self.status == 200:
            return "an answer that is no chat completion"
        return self.detail or f"HTTP {self.status}"


class Sender:
    """Sends tasks from any thread."""

    def __init__(self, settings: EndpointSettings, key: str | None, rng: np.random.Generator, clock: Clock, masker: Masker) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx2.Limits(max_connections=settings.concurrency)
        self._client = httpx2.Client(headers=headers, timeout=settings.timeout_s, limits=limits, follow_redirects=False)
        self._settings, self._clock, self._masker = settings, clock, masker
        self._pacer = Pacer(clock, settings.requests_per_minute, settings.tokens_per_minute)
        self._backoff = Backoff(rng)
        self._forms: tuple[Form, ...] = FORMS
        self._lock = threading.Lock()

    def close(self) -> None:
        self._client.close()

    def answer(self, task: Task, breaker: Breaker) -> Answer:
        """The answer, or why there is none; personal data is masked before the first attempt."""
        masked = self._masker.mask(task.prompt.text)
        task = replace(task, prompt=replace(task.prompt, text=masked.text))
        spent, n_failed = Usage(masked=masked.n), 0
        hoped = forms = self._forms_for(task)
        while not breaker.detail:
            form = forms[0]
            response = self._send(task, form)
            spent += self._usage(response, task)
            if (reply := response.reply) is not None:
                if form != hoped[0]:
                    self._learn(form)
                text, confidence = read_answer(reply, task.choices)
                return Answer(text, confidence, usage=spent)
            if response.failure == REJECTED and len(forms) > 1:
                forms = forms[1:]  # perhaps it does not know this form
                continue
            if response.failure != RETRY:
                return Answer(failure=response.failure, detail=response.said, usage=spent)
            n_failed += 1
            if not self._may_try_again(n_failed, response):
                return Answer(failure=UNREACHABLE, detail=response.said, usage=spent)
        return Answer(failure=UNREACHABLE, detail=breaker.detail, usage=spent)

    def _forms_for(self, task: Task) -> list[Form]:
        """Forms to try for this task, the one hoped for first; the endpoint is not known to refuse any."""
        wanted = [Form(form.schema and task.schema is not None, form.logprobs and bool(task.choices)) for form in self._forms]
        return list(dict.fromkeys(wanted))

    def _learn(self, answered: Form) -> None:
        """Ask in no form from now on that comes before the one that was answered: those were refused."""
        with self._lock:
            if answered in self._forms:
                self._forms = self._forms[self._forms.index(answered) :]

    def _may_try_again(self, n_failed: int, response: _Response) -> bool:
        """Wait for the next attempt, where there is one."""
        asked = retry_after_s(response.headers)
        if n_failed >= self._settings.max_attempts or asked > self._settings.longest_pause_s:
            return False
        if asked:
            self._pacer.hold(asked)
        self._clock.sleep(max(asked, self._backoff.seconds(n_failed)))
        return True

    def _send(self, task: Task, form: Form) -> _Response:
        settings = self._settings
        body = request_body(task.prompt, settings.model, form, task.max_tokens, task.schema) | dict(settings.parameters)
        body = {name: value for name, value in body.items() if value is not None}
        expected = body_tokens(body) + task.max_tokens
        self._pacer.wait(expected)
        started = self._clock.now()
        try:
            with self._client.stream("POST", settings.completions_url, json=body) as response:
                payload = self._read(response, started + settings.timeout_s)
                found = _Response(response.status_code, self._clock.now() - started, payload, response.headers)
            if (reply := found.reply) is not None and reply.tokens_in is not None:
                self._pacer.settle(expected, reply.tokens_in + (reply.tokens_out or 0))
            return found
        except (httpx2.ConnectError, httpx2.TimeoutException) as error:
            detail = f"{type(error).__name__} {error}".strip()
        except httpx2.HTTPError as error:
            detail = type(error).__name__  # its words may quote a header
        return _Response(0, self._clock.now() - started, detail=detail)

    def _read(self, response: httpx2.Response, deadline: float) -> bytes:
        payload = bytearray()
        for piece in response.iter_bytes():
            payload += piece
            if len(payload) > MAX_RESPONSE_BYTES:
                raise httpx2.ReadError(f"more than {MAX_RESPONSE_BYTES} bytes")
            if self._clock.now() > deadline:
                raise httpx2.ReadTimeout(f"not finished after {self._settings.timeout_s} s")
        return bytes(payload)

    def _usage(self, response: _Response, task: Task) -> Usage:
        reply = response.reply
        if reply is None:
            return Usage(calls=1, seconds=response.seconds)
        expected = body_tokens({"messages": [task.prompt.instruction, task.prompt.text]})
        tokens_in = expected if reply.tokens_in is None else reply.tokens_in
        tokens_out = body_tokens({"": reply.text}) if reply.tokens_out is None else reply.tokens_out
        return Usage(
            calls=1, tokens_in=tokens_in, tokens_out=tokens_out, cost=self._settings.cost(tokens_in, tokens_out), seconds=response.seconds
        )
