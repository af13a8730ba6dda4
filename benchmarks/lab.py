"""A sandbox with one tenant and a configuration that reads it: where every benchmark starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import NameOID

from sandbox import Control
from trailkeeper.bootstrap import World
from trailkeeper.settings import load

TENANT = "contoso"
_PASSWORD = "benchmark"  # noqa: S105 - protects nothing but a key made a moment ago
os.environ["BENCHMARK_PASSWORD"] = _PASSWORD


@dataclass(frozen=True)
class Lab:
    """A running sandbox (another process) and the configuration folder for it."""

    folder: Path
    configuration: Path
    control: Control

    def world(self) -> World:
        return World(load(self.configuration))


@contextmanager
def lab(folder: Path, *arguments: str) -> Iterator[Lab]:
    """Start `python -m sandbox serve` with `arguments` and register a fresh certificate."""
    box = folder / "sandbox"
    command = [sys.executable, "-m", "sandbox", "serve", "--dir", str(box), "--tenants", TENANT]
    server = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
    try:
        said = _when_ready(box / "sandbox.json", server)
        control = Control.of(box)
        configuration = _configure(folder / "configuration", folder / "data", said, control)
        yield Lab(folder, configuration, control)
    finally:
        server.terminate()
        server.wait(20)


def _when_ready(path: Path, server: subprocess.Popen[bytes]) -> dict[str, object]:
    for _ in range(600):
        if path.exists():
            found: dict[str, object] = json.loads(path.read_text("utf-8"))
            return found
        if server.poll() is not None:
            raise SystemExit("the sandbox did not start")
        time.sleep(0.1)
    raise SystemExit("the sandbox was not ready within a minute")


def _configure(folder: Path, kept: Path, said: dict[str, object], control: Control) -> Path:
    (folder / "tenants").mkdir(parents=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _self_signed(key)
    control.register(TENANT, certificate.public_bytes(Encoding.DER))
    secret = BestAvailableEncryption(_PASSWORD.encode())
    pfx = pkcs12.serialize_key_and_certificates(b"benchmark", key, certificate, None, secret)
    (folder / "key.pfx").write_bytes(pfx)
    hosts = "\n".join(
        f'{name} = "{said[name]}"' for name in ("login", "exchange", "management", "graph")
    )
    (folder / "trailkeeper.toml").write_text(
        f'[service]\ndata = "{kept}"\n[clouds.lab]\n{hosts}\nca_bundle = "{said["ca"]}"\n'
    )
    tenant = control.tenant(TENANT)
    names = "\n".join(f'{name} = "{tenant[name]}"' for name in ("tenant_id", "domain", "client_id"))
    (folder / "tenants" / f"{TENANT}.toml").write_text(
        f'{names}\ncloud = "lab"\n[certificate]\n'
        'pfx = "key.pfx"\npassword = "env:BENCHMARK_PASSWORD"\n'
    )
    return folder


def _self_signed(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .sign(key, hashes.SHA256())
    )
