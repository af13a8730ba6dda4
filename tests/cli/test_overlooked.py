"""What looks like configuration and is not read is said; so is what makes the feed look hung."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Line
from trailkeeper.errors import ConfigurationError
from trailkeeper.settings import load, overlooked

NOT_READ = (
    "tenants/fabrikam.toml.txt",
    "tenants/Fabrikam.TOML",
    "tenants/fabrikam.toml~",
    "tenants/fabrikam.toml.bak",
    "tenants/#fabrikam.toml#",
    "tenants/.fabrikam.toml.swp",
    "tenants/more/fabrikam.toml",
    "Tenants/fabrikam.toml",
    "fabrikam.toml",
)


@pytest.mark.parametrize("name", NOT_READ)
def test_a_file_that_is_not_read_is_named_with_the_remedy(line: Line, name: str) -> None:
    """One sentence for each, and none for the files that are read."""
    assert overlooked(line.config.folder) == []
    path = line.config.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    (said,) = overlooked(line.config.folder)
    named = path.parent if path.parent.name in ("more", "Tenants") else path
    assert f"{named} is not read: " in said
    assert len(load(line.config.folder).tenants) == 1


def test_a_hidden_tenant_file_is_refused_by_its_name(line: Line) -> None:
    """It ends in .toml, so that it is read, and its name can be nobody's."""
    (line.config.folder / "tenants" / "._fabrikam.toml").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be a tenant's name"):
        load(line.config.folder)


def test_every_command_says_it(line: Line) -> None:
    """On standard error, beside the command's own result; doctor has a line for it."""
    (line.config.folder / "tenants" / "fabrikam.toml.txt").write_text("")
    assert "fabrikam.toml.txt is not read" in line.run("tenants", "list").err
    told = line.run("doctor", "--json").objects
    assert any("fabrikam.toml.txt" in check["detail"] and check["remedy"] for check in told)


def test_a_feed_without_a_partner_is_told(line: Line) -> None:
    """By doctor, `tenants check` and `collect`; not where the feed is not read."""
    main = line.config.folder / "trailkeeper.toml"
    kept = [row for row in main.read_text().splitlines() if "partner_tenant_id" not in row]
    main.write_text("\n".join(kept))
    assert "partner_tenant_id" not in line.run("tenants", "check").err
    line.replace('sources = ["exchange"]', 'sources = ["activity"]')
    checked = line.run("tenants", "check")
    assert "service.partner_tenant_id is missing" in checked.err
    assert f"{line.tenant} activity: asking https://" in checked.err
    told = {check["check"]: check for check in line.run("doctor", "--json").objects}
    assert "partner_tenant_id" in told["feed"]["detail"]
    assert "service.partner_tenant_id is missing" in line.collect().err
