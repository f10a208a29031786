"""What leaves a run with keys for clients that are not let in: a handshake that ends, and no more."""

from __future__ import annotations

import pytest

from benchmarks.capture import ERROR, GREETING, WELCOME, table, with_keys, without_keys

pytestmark = pytest.mark.slow


def test_a_client_without_the_right_key_gets_not_one_byte_of_image_data():
    *refused, allowed = with_keys(seconds=1.0)
    assert len(refused) == 8
    for client in refused:
        assert client.connections, f"{client.client} did not even connect"
        assert client.frames == client.found == 0, client
        assert client.largest <= GREETING + WELCOME + ERROR, client
    # Who is let in gets images, and whoever listens on the way sees none of them.
    assert allowed.frames > 0
    assert allowed.total > allowed.frames * 10_000
    assert allowed.found == 0
    # In the clear the same search finds them.
    clear = without_keys(seconds=1.0)
    assert clear.found > 100
    assert "| 0 | 0 |" in table(refused)
