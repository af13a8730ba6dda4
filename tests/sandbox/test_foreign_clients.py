"""Clients that others wrote, for another language, run unmodified against the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes

from tests.sandbox.callers import Caller, make_pair

NODE, NPM = shutil.which("node"), shutil.which("npm")
SCRIPT = Path(__file__).with_name("node_login.mjs")
PACKAGES = ("@azure/msal-node", "@azure/identity")

pytestmark = pytest.mark.skipif(not (NODE and NPM), reason="node or npm is not on this machine")


@pytest.fixture(scope="module")
def node_folder() -> Path:
    """A folder with the packages; kept between runs, so that only the first one installs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "trailkeeper-tests" / "node"
    if all((folder / "node_modules" / name).is_dir() for name in PACKAGES):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    command = [str(NPM), "install", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:  # no way to npm's packages from here; nothing of ours has failed
        pytest.skip(f"npm could not install {' and '.join(PACKAGES)}: {done.stderr[-200:]}")
    return folder


def log_in(caller: Caller, folder: Path, client: str, **changes: str) -> dict[str, Any]:
    options = {
        "clientId": caller.tenant["client_id"],
        "tenantId": caller.tenant["tenant_id"],
        "login": caller.box["login"],
        "scope": f"{caller.box['exchange']}/.default",
        "key": caller.pair.key_pem,
        "certificate": caller.pair.pem.decode(),
        "sha256": caller.pair.certificate.fingerprint(hashes.SHA256()).hex(),
        **changes,
    }
    done = subprocess.run(
        [str(NODE), str(SCRIPT), client, json.dumps(options)],
        cwd=folder,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": caller.box.ca, "NO_PROXY": "127.0.0.1"},
    )
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("client", ["msal-node", "identity"])
def test_node_client_logs_in_and_its_token_opens_exchange(
    small: Caller, node_folder: Path, client: str
) -> None:
    """Microsoft's Node clients get a token with a certificate, and Exchange takes it."""
    answer = log_in(small, node_folder, client)
    claims = jwt.decode(answer["token"], options={"verify_signature": False})
    assert claims["roles"] == ["Exchange.ManageAsApp"]
    small._token = answer["token"]
    assert len(small.rows()) == 100


@pytest.mark.parametrize("client", ["msal-node", "identity"])
def test_node_client_understands_refusals(small: Caller, node_folder: Path, client: str) -> None:
    """The same clients show the AADSTS code when the certificate is not registered."""
    other = make_pair()
    answer = log_in(
        small,
        node_folder,
        client,
        certificate=other.pem.decode(),
        sha256=other.certificate.fingerprint(hashes.SHA256()).hex(),
    )
    assert "AADSTS700027" in answer["error"]
