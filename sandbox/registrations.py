"""Uploaded certificates outlive a restart, as an app registration does."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from sandbox.certificates import write_private
from sandbox.keys import KeyCredential
from sandbox.tenants import Application, Directory

_FILE = "registrations.json"


def save(folder: Path, directory: Directory) -> None:
    """All applications' keyCredentials, in one step."""
    kept = {
        client: [_written(key) for key in app.keys]
        for client, app in directory.applications.items()
        if app.keys
    }
    write_private(folder / _FILE, json.dumps(kept, indent=1).encode())


def load(folder: Path, directory: Directory) -> None:
    """Give the applications of a former run their certificates back."""
    path = folder / _FILE
    if not path.exists():
        return
    for client, keys in json.loads(path.read_text("utf-8")).items():
        app = directory.applications.setdefault(client, Application(client))
        app.keys = [_read(key) for key in keys]


def _written(key: KeyCredential) -> dict[str, Any]:
    return {
        "der": base64.b64encode(key.der).decode(),
        "key_id": key.key_id,
        "effective_at": key.effective_at,
        "start": key.start.isoformat() if key.start else None,
        "end": key.end.isoformat() if key.end else None,
    }


def _read(kept: dict[str, Any]) -> KeyCredential:
    start, end = (datetime.fromisoformat(kept[k]) if kept[k] else None for k in ("start", "end"))
    certificate = x509.load_der_x509_certificate(base64.b64decode(kept["der"]))
    return KeyCredential(certificate, kept["effective_at"], start, end, key_id=kept["key_id"])
