"""Items that somebody with access to Redis can push into our queues."""

from __future__ import annotations

import base64
import json
import os
import pickle
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

_T = "trailkeeper."


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch opened_by_pickle",))


def message(task: str, *arguments: object, **changed: Any) -> dict[str, Any]:
    """A Celery message as its sender writes it; `body`, `headers`, … replace what it holds."""
    name = str(uuid.uuid4())
    kwargs = changed.pop("kwargs", {})
    body = changed.pop("body", json.dumps([arguments, kwargs, {}]).encode())
    headers = {
        "lang": "py",
        "task": task,
        "id": name,
        "root_id": name,
        "parent_id": None,
        "group": None,
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": "elsewhere",
        "retries": 0,
        "timelimit": [None, None],
        "expires": None,
        "eta": None,
        "shadow": None,
        "ignore_result": True,
    } | changed.pop("headers", {})
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": name,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "x"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": name,
        },
        **changed,
    }


def _whole() -> Iterator[dict[str, Any]]:
    pull = _T + "pull_segment"
    pickled = pickle.dumps([[_Evil()], {}, {}])
    yield message(pull, body=pickled) | {"content-type": "application/x-python-serialize"}
    yield message(pull, body=b"!!python/object/apply:x") | {"content-type": "application/x-yaml"}
    yield message("os.system", "true")
    yield message("celery.map", kwargs={"task": {"task": pull, "args": []}, "it": [[1], [2]]})
    yield message("celery.chord_unlock", "g", {"task": _T + "tick_reap"}, kwargs={"result": []})
    yield message("celery.backend_cleanup")
    for odd in (
        "1; drop table segment",
        [1, 2],
        {"a": 1},
        10**30,
        1.5,
        True,
        None,
        -1,
        "\x1b]0;\r\n",
    ):
        yield message(pull, odd)
    yield message(pull, 1, 2, 3)
    yield message(pull, kwargs={"segment_id": 1})
    yield message(pull, 1, kwargs={"world": "x"})
    for name in ("merge_tenant", "compact_tenant"):
        for odd in ("../../../etc", "nobody", {}, "a\0b", ".."):
            yield message(_T + name, odd)
    for month in ("2026-10", "../../x", "2999-01", "2000-01"):
        yield message(_T + "report_month", "contoso", month)
    yield message(_T + "deliver", "1 or 1=1")
    yield message(pull, 1, headers={"timelimit": [0.0001, 0.0001]})
    yield message(pull, 1, headers={"timelimit": "x"})
    yield message(pull, 1, headers={"eta": "2099-01-01T00:00:00+00:00"})
    yield message(pull, 1, headers={"eta": []})
    yield message(pull, "A" * 3_000_000)
    yield message(pull, body=b"[" * 100_000 + b"]" * 100_000)
    yield message(
        pull, body=zlib.compress(b"\0" * 10_000_000), headers={"compression": "application/x-gzip"}
    )
    yield {**message(pull, 1), "body": "!!!!"}
    yield {**message(pull, 1), "body": 7}
    yield {**message(pull, 1), "headers": None}
    yield {**message(pull, 1), "headers": [1]}
    yield {**message(pull, 1), "properties": None}
    yield {**message(pull, 1), "properties": {"delivery_tag": {}, "delivery_info": 3}}
    yield {"body": "e30="}
    yield {}


def items() -> list[bytes]:
    """Every form, whole and broken."""
    raw = [json.dumps(each).encode() for each in _whole()]
    broken = [b"x", b"{ no json", b"[1,2,3]", b"null", b"7", b'"x"', b"\xff\xfe\0", b"{" * 5000]
    mark, digest = b"TK1.", b"0" * 64
    sealed = [mark, mark + digest, mark + digest + b"1." + raw[0], mark + b"\xff" * 80]
    return [*raw, *broken, *sealed]
