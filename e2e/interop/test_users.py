"""The user service, called directly."""

import time

import grpc
import pytest
from fanout_up import SEEDED
from reflected_client import GATEWAY, USERS
from rich_errors import details, violations

# No delay, because these tests make many calls.
NO_DELAY = [("baggage", "user.delay=0")]
# The prefix of users that the tests add, unlike the seeded ones.
OWN = "interop-"


def test_pages_hold_every_seeded_user_once(users):
    seen, token, sizes = [], "", []
    while True:
        page = users.call(f"{USERS}/ListUsers", metadata=NO_DELAY, page_size=5, page_token=token)
        sizes.append(len(page.users))
        seen += [user.id for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert [user_id for user_id in seen if not user_id.startswith(OWN)] == SEEDED
    assert all(size == 5 for size in sizes[:-1]) and 0 < sizes[-1] <= 5
    assert len(sizes) >= 3


def test_a_created_user_is_found_by_both(users, gateway):
    before = time.time()
    created = users.call(
        f"{USERS}/CreateUser",
        metadata=NO_DELAY,
        user_id=f"{OWN}zoe",
        display_name="Zoë 🦀",
        email="zoe@example.org",
        country_code="FR",
    )
    assert (created.id, created.display_name, created.country_code) == (f"{OWN}zoe", "Zoë 🦀", "FR")
    # The clock may be adjusted a little while the tests run.
    assert before - 60 < created.create_time.ToSeconds() < time.time() + 60
    found = users.call(f"{USERS}/GetUser", metadata=NO_DELAY, user_id=created.id)
    assert found == created
    through = gateway.call(f"{GATEWAY}/GetHomeCountry", metadata=NO_DELAY, user_id=created.id)
    assert through.user.SerializeToString(deterministic=True) == created.SerializeToString(deterministic=True)
    assert through.country.code == "FR"


def test_an_id_can_be_used_once(users):
    error = users.error(
        f"{USERS}/CreateUser", metadata=NO_DELAY, user_id="ada", display_name="Another Ada", country_code="GB"
    )
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS
    resource = details(error)["ResourceInfo"]
    assert (resource.resource_type, resource.resource_name) == ("fanout.user.v1.User", "ada")
    unchanged = users.call(f"{USERS}/GetUser", metadata=NO_DELAY, user_id="ada")
    assert unchanged.display_name == "Ada Lovelace"


def test_every_invalid_field_of_a_new_user_is_named(users):
    error = users.error(f"{USERS}/CreateUser", metadata=NO_DELAY, user_id="Ada!", display_name="", country_code="G")
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert violations(error) == {"user_id", "display_name", "country_code"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"page_size": -1}, "page_size"), ({"page_size": 1001}, "page_size"), ({"page_token": "made up"}, "page_token")],
    ids=str,
)
def test_an_invalid_page(users, fields, field):
    error = users.error(f"{USERS}/ListUsers", metadata=NO_DELAY, **fields)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert violations(error) == {field}
