"""Files of the configuration as programs of Windows write them are read like any other."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from trailkeeper.errors import ConfigurationError
from trailkeeper.settings import Settings, load

SECRET = "pässwörd=1 2"
FORMS = {
    "plain": SECRET.encode(),
    "byte order mark": codecs.BOM_UTF8 + SECRET.encode(),
    "two byte order marks": 2 * codecs.BOM_UTF8 + SECRET.encode(),
    "PowerShell 5 (UTF-16)": codecs.BOM_UTF16_LE + f"{SECRET}\r\n".encode("utf-16-le"),
    "UTF-16, big end first": codecs.BOM_UTF16_BE + f"{SECRET}\r\n".encode("utf-16-be"),
    "two line ends": f"{SECRET}\n\n".encode(),
    "Windows' line ends": f"{SECRET}\r\n\r\n".encode(),
    "cmd's echo": f"{SECRET} \r\n".encode(),
}


@pytest.mark.parametrize("written", FORMS.values(), ids=FORMS)
def test_a_secret_file_in_any_form(tmp_path: Path, written: bytes) -> None:
    """Mark, line ends and blanks around it are no part of a secret; those inside are."""
    (tmp_path / "secret.txt").write_bytes(written)
    assert Settings(folder=tmp_path).secret("file:secret.txt") == SECRET


@pytest.mark.parametrize("written", [b"caf\xe9", codecs.BOM_UTF8 + b"\xff\xfe"])
def test_a_secret_file_that_is_no_text_is_refused_without_a_byte_of_it(
    tmp_path: Path, written: bytes
) -> None:
    """What a codec says quotes the byte that it cannot read."""
    (tmp_path / "secret.txt").write_bytes(written)
    with pytest.raises(ConfigurationError, match=r"Save it as UTF-8") as caught:
        Settings(folder=tmp_path).secret("file:secret.txt")
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("written", [b"", b"\n\n", codecs.BOM_UTF16_LE, b" \r\n"])
def test_a_secret_file_with_nothing_in_it_is_empty(tmp_path: Path, written: bytes) -> None:
    """A mark, line ends and blanks are no secret."""
    (tmp_path / "secret.txt").write_bytes(written)
    with pytest.raises(ConfigurationError, match="is empty"):
        Settings(folder=tmp_path).secret("file:secret.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_toml_in_any_form(tmp_path: Path, encoding: str) -> None:
    """A byte order mark or UTF-16 does not make a configuration invalid."""
    main = '[service]\r\ndata = "./däta"\r\n'
    (tmp_path / "trailkeeper.toml").write_bytes(main.encode(encoding))
    assert load(tmp_path).service.data == tmp_path / "däta"


def test_toml_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Latin-1 is told with the remedy."""
    (tmp_path / "trailkeeper.toml").write_bytes("# Kündigung\n".encode("latin-1"))
    with pytest.raises(ConfigurationError, match="Save it as UTF-8"):
        load(tmp_path)
