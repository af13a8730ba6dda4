from __future__ import annotations

import pytest

from tests.microsoft.identity import Enrolled
from tests.servers.redis import RedisServer
from trailkeeper.errors import NeedsPerson
from trailkeeper.microsoft.identity.audiences import Audiences
from trailkeeper.microsoft.identity.tokens import claims
from trailkeeper.settings import CLOUD_PRESETS

PUBLIC = "https://outlook.office365.com"


@pytest.fixture
def renamed(enrolled: Enrolled) -> Enrolled:
    """The cloud's Exchange under a URL that its Entra has never heard of."""
    name_exchange(enrolled, other_name(enrolled))
    return enrolled


def other_name(enrolled: Enrolled) -> str:
    """The same host and port by another name, which the certificate covers too."""
    url = enrolled.audience
    return url.replace("127.0.0.1", "localhost") if "127.0.0.1" in url else url + ":1"


def name_exchange(enrolled: Enrolled, url: str, more: str = "") -> None:
    main = enrolled.folder / "trailkeeper.toml"
    before = f'exchange = "{enrolled.audience}"'
    assert before in main.read_text()
    main.write_text(main.read_text().replace(before, f'exchange = "{url}"\n{more}'))


def test_an_unknown_host_is_asked_for_by_its_public_name(
    renamed: Enrolled, shared_redis: RedisServer
) -> None:
    """Where Entra does not know a lab's Exchange host, the public name is tried and remembered."""
    tokens = renamed.tokens(shared_redis.url)
    host = other_name(renamed)
    token = tokens.get(renamed.tenant, host)
    assert claims(token)["aud"] == PUBLIC
    assert renamed.logins() == 2
    tokens.drop(renamed.tenant, host)
    tokens.get(renamed.tenant, host)
    assert renamed.logins() == 3
    renamed.tokens(shared_redis.url).get(renamed.tenant, host)
    assert renamed.logins() == 3  # another worker finds it under the name it asks for


def test_a_configured_audience_is_asked_for_at_once(enrolled: Enrolled) -> None:
    """`exchange_audience` is what the token is asked for; nothing is tried out."""
    host = other_name(enrolled)
    name_exchange(enrolled, host, f'exchange_audience = "{PUBLIC}"\n')
    assert claims(enrolled.tokens().get(enrolled.tenant, host))["aud"] == PUBLIC
    assert enrolled.logins() == 1


def test_a_tenant_without_exchange_keeps_its_own_refusal(renamed: Enrolled) -> None:
    """When the public name is unknown as well, the refusal of the cloud's own host stands."""
    renamed.box.control.alter(renamed.name, exchange_licensed=False)
    host = other_name(renamed)
    with pytest.raises(NeedsPerson, match="AADSTS500011") as caught:
        renamed.tokens().get(renamed.tenant, host)
    assert host in caught.value.summary
    assert renamed.logins() == 2


@pytest.mark.parametrize("cloud", CLOUD_PRESETS)
def test_presets_are_never_second_guessed(enrolled: Enrolled, cloud: str) -> None:
    """In Microsoft's own clouds a host is its own audience, whatever Entra answers."""
    tenant = enrolled.tenant.model_copy(update={"cloud": cloud})
    audiences = Audiences(enrolled.settings)
    url = CLOUD_PRESETS[cloud].exchange
    error = NeedsPerson("", "", "AADSTS500011")
    assert audiences.of(tenant, url) == url
    assert audiences.other(tenant, url, error) == ""


@pytest.mark.parametrize("code", ["AADSTS700016", "AADSTS53003", "AADSTS700027", ""])
def test_other_refusals_try_nothing(enrolled: Enrolled, code: str) -> None:
    """Only a refusal that says that the resource is unknown leads to a second name."""
    error = NeedsPerson("", "", code)
    assert Audiences(enrolled.settings).other(enrolled.tenant, enrolled.audience, error) == ""
