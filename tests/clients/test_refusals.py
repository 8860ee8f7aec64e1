"""What this cloud lacks is refused in words, by each client; docs/clients.md lists it."""

import pytest

from tests.clients.refusals import PROGRAMS, REFUSALS, SERVER
from tests.clients.shells import shell
from tests.cloud import Cloud

pytestmark = [
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


@pytest.mark.parametrize("client", PROGRAMS)
def test_what_is_refused(two_hosts: Cloud, client: str) -> None:
    program = PROGRAMS[client]
    with shell(two_hosts, program, client) as typed:
        if program == "nova":
            typed("boot", "--image", "tiny", "--flavor", "m1.tiny", "--nic", "auto", SERVER)
        else:
            options = ("--image", "tiny", "--flavor", "m1.tiny", "--network", "private")
            typed("server", "create", *options, SERVER)
        for refusal in REFUSALS:
            if client in refusal.clients:
                assert refusal.says in typed.refused(*refusal.command.split(), user=refusal.user)
        typed(*(("delete",) if program == "nova" else ("server", "delete")), SERVER)
