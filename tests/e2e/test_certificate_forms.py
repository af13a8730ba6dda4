"""One tenant per certificate form: checked, and collected to the last record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.configured import Configured
from tests.e2e.running import exported
from tests.microsoft.identity import Pair, make_pair

_MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
START, END = _MIDNIGHT - timedelta(days=9), _MIDNIGHT - timedelta(days=8)
PEM = "application/x-pem-file"
HOME = "msp"
FORMS = {
    "file": 'pfx = "file.pfx"\npassword = "file:pfx-password"',
    "pfx-in-store": 'thumbprint = "{sha1}"\npassword = "file:pfx-password"',
    "pem-in-store": 'thumbprint = "\u200e{spaced}"',
    "vault-pkcs12": '[certificate.key_vault]\nvault = "{vault}"\nname = "vault-pkcs12"',
    "vault-pem": '[certificate.key_vault]\nvault = "{vault}"\nname = "vault-pem"',
    "vault-remote": (
        '[certificate.key_vault]\nvault = "{vault}"\nname = "vault-remote"\nsign_remotely = true'
    ),
}


@dataclass
class Fleet:
    folder: Path
    box: Sandbox
    environment: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trailkeeper.cli", *words],
            env={**os.environ, **self.environment, "TRAILKEEPER_CONFIG": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def asked(self, operation: str) -> int:
        counted = self.box.control.counters()["by_tenant"].get(HOME, {})
        return int(counted.get(f"vault_{operation}", 0))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A sandbox whose vault belongs to the provider, and a tenant for each form."""
    place = tmp_path_factory.mktemp("forms")
    with Sandbox(place / "box", tenants=[HOME, *FORMS]) as box:
        box.control.set_vault_tenant(HOME)
        folder = Configured(place / "conf", box, list(FORMS), recipients=()).write()
        (folder / "certificates").mkdir()
        for name in FORMS:
            _equip(folder, box, name, make_pair(name=name))
            box.control.crowd(name, (START + timedelta(hours=8)).isoformat(), 211, seconds=30_000)
        yield Fleet(folder, box, _identity(place, box))


def _identity(place: Path, box: Sandbox) -> dict[str, str]:
    """What the service's host knows: its own certificate in the provider's directory."""
    pair, home = make_pair(), box.control.tenant(HOME)
    box.control.register(HOME, pair.pem)
    path = place / "identity.pem"
    path.write_bytes(pair.pem + pair.key_pem())
    return {
        "AZURE_TENANT_ID": home["tenant_id"],
        "AZURE_CLIENT_ID": home["client_id"],
        "AZURE_CLIENT_CERTIFICATE_PATH": str(path),
    }


def _equip(folder: Path, box: Sandbox, name: str, pair: Pair) -> None:
    """Put the pair where the form keeps it, register it, and name it in the tenant's file."""
    password, store = (folder / "pfx-password").read_text(), folder / "certificates"
    if name == "file":
        (folder / "file.pfx").write_bytes(pair.pfx(password))
    elif name == "pfx-in-store":
        (store / "a.pfx").write_bytes(pair.pfx(password))
    elif name == "pem-in-store":
        (store / "b.pem").write_bytes(pair.pem + pair.key_pem())
    else:
        kind = {"content_type": PEM} if name == "vault-pem" else {}
        exportable = name != "vault-remote"
        box.control.put_in_vault(name, pair.key_pem(), pair.pem, exportable=exportable, **kind)
    box.control.unregister(name)
    box.control.register(name, pair.pem)
    spaced = " ".join(pair.sha256[n : n + 2].lower() for n in range(0, 64, 2))
    table = FORMS[name].format(sha1=pair.sha1, spaced=spaced, vault=box["vault"])
    path = folder / "tenants" / f"{name}.toml"
    before, _, rest = path.read_text("utf-8").partition("[certificate]")
    path.write_text(
        f"{before}[certificate]\n{table}\n[report]{rest.partition('[report]')[2]}", "utf-8"
    )


def test_every_form_passes_the_preflight_checks(fleet: Fleet) -> None:
    """`tenants check` passes for each form; only the remote one signs in the vault."""
    signed = fleet.asked("keys_sign")
    said = fleet.run("tenants", "check", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    found = {each["tenant"]: each for each in map(json.loads, said.stdout.splitlines())}
    assert set(found) == set(FORMS)
    for each in found.values():
        passed = [check["name"] for check in each["checks"] if check["passed"]]
        assert passed == ["certificate", "login", "app role", "directory role", "auditing"]
    assert fleet.asked("keys_sign") == signed + 1


@pytest.mark.parametrize("form", FORMS)
def test_every_form_collects(fleet: Fleet, tmp_path: Path, form: str) -> None:
    """`collect` brings every record of a day home, whatever the certificate is kept in."""
    fetched, signed = fleet.asked("secrets_get"), fleet.asked("keys_sign")
    words = ("--tenant", form, "--from", START.isoformat(), "--to", END.isoformat())
    said = fleet.run("collect", *words)
    assert said.returncode == 0, said.stdout + said.stderr
    truth = Counter(record["AuditData"] for record in fleet.box.control.records(form))
    assert truth.total() == 211
    assert exported(fleet.folder, form, tmp_path / "export.jsonl") == truth
    assert (fleet.asked("secrets_get") > fetched) is (form in ("vault-pkcs12", "vault-pem"))
    assert (fleet.asked("keys_sign") > signed) is (form == "vault-remote")


def test_the_list_knows_every_form(fleet: Fleet) -> None:
    """`certificate list` shows thumbprint and end of each, fetched or not."""
    said = fleet.run("certificate", "list", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert {row["tenant"] for row in rows} == set(FORMS)
    assert all(row["days_left"] == 364 and not row["error"] for row in rows)
