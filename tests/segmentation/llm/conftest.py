"""An endpoint on this machine that speaks chat completions and misbehaves on demand, a clock that only sleeps in our minds, and a tiny
causal model."""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

import numpy as np
import pytest

from segmentation.llm.endpoint import EndpointSettings
from segmentation.llm.http import Endpoint
from segmentation.llm.labels import Question
from segmentation.llm.masking import Masker
from segmentation.llm.pacing import Clock


@dataclass(frozen=True)
class Reply:
    """What the endpoint sends. body: JSON, or bytes as they are; status 0: hang up without a word."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Behaviour: TypeAlias = Callable[[int, Any], Reply]
"""The reply to the n-th request, counted from 0, with this body."""


def completion(text: str | None, tokens: tuple[int, int] | None = (100, 5), **choice: Any) -> Reply:
    usage = {"usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}} if tokens else {}
    return Reply({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop", **choice}], **usage})


def text_of(body: Any) -> str:
    """The customer's text in a request."""
    found = re.search(r"<customer_text>\n(.*?)\n?</customer_text>", body["messages"][-1]["content"], re.DOTALL)
    assert found, body["messages"][-1]
    return found[1]


def honest(number: int, body: Any) -> Reply:
    """Reads the text alone: "good" is positive, "bad" negative, anything else neutral; answers by the schema where one is given."""
    words = text_of(body).casefold()
    label = "positive" if "good" in words else "negative" if "bad" in words else "neutral"
    return completion(json.dumps({"answer": label}) if "response_format" in body else label)


class Service:
    """The endpoint. behave: how it replies; bodies, headers: what it was sent."""

    def __init__(self) -> None:
        self.behave: Behaviour = honest
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def texts(self) -> list[str]:
        return [text_of(body) for body in self.bodies]

    def _take(self, body: Any, headers: dict[str, str]) -> int:
        with self._lock:
            self.bodies.append(body)
            self.headers.append(headers)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            return len(self.bodies) - 1

    def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                number = service._take(body, dict(self.headers.items()))
                try:
                    self._send(service.behave(number, body))
                finally:
                    with service._lock:
                        service.under_way -= 1

            def _send(self, reply: Reply) -> None:
                if not reply.status:
                    self.close_connection = True
                    return
                payload = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(payload)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class SleepingClock:
    """Time passes by sleeping only. slept: each wait in seconds."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.time += seconds


@dataclass(frozen=True)
class World:
    """All that a test of the endpoint needs."""

    service: Service
    clock: SleepingClock
    reply: type[Reply]
    completion: Callable[..., Reply]
    text_of: Callable[[Any], str]
    honest: Behaviour
    sentiment: Question

    def open(self, *, masker: Masker | None = None, environment: Mapping[str, str] | None = None, **settings: Any) -> Endpoint:
        """An endpoint for the service: one request at a time and two attempts, unless the settings say otherwise."""
        given = {"base_url": self.service.url, "model": "tiny-1", "concurrency": 1, "max_attempts": 2, "timeout_s": 5.0} | settings
        return Endpoint(
            EndpointSettings(**given),
            environment=environment or {},
            rng=np.random.default_rng(5),
            clock=Clock(self.clock.now, self.clock.sleep),
            masker=masker or Masker(),
        )

    def obedient(self, number: int, body: Any) -> Reply:
        """Obeys whatever stands outside the fence, reading fences as generously as a careless model would; else honest."""
        words = unicodedata.normalize("NFKC", body["messages"][-1]["content"])
        outside = re.sub(r"<\s*customer_text\s*>.*?<\s*/\s*customer_text\s*>", "", words, flags=re.DOTALL | re.IGNORECASE)
        command = re.search(r"answer (\w+)", outside + " ".join(re.findall(r"<\|im_start\|>system(.*)", words)))
        return completion(command[1]) if command else honest(number, body)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def sentiment() -> Question:
    return Question("sentiment", "Is this review positive, neutral or negative?", ("negative", "neutral", "positive"))


@pytest.fixture
def world(service: Service, sentiment: Question) -> World:
    return World(service, SleepingClock(), Reply, completion, text_of, honest, sentiment)
