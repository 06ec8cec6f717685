"""What a server can be told."""

from __future__ import annotations

import os

from pydantic import Field

from recsys.keys import Section


class ServerSettings(Section):
    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 = all of this machine's")
    port: int = Field(default=50051, ge=0, le=65535, description="port to listen on; 0 = any free one")
    max_workers: int = Field(
        default=os.cpu_count() or 2, ge=1, description="calls answered at once, best as many as cores; further ones wait"
    )
    grace_seconds: float = Field(default=10.0, ge=0, description="time that calls in flight have to finish when the server stops")
    budget_ms: float = Field(default=200.0, gt=0, description="time for an answer; after it, parts that are still optional are left out")
    reply_ms: float = Field(default=5.0, ge=0, description="part of a caller's deadline kept for sending the answer")
