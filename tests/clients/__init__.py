"""Other people's clients in front of the gateways."""

import pytest

# The days are told in modules of their own.
pytest.register_assert_rewrite("tests.clients.days")
