"""What every channel to a server is told."""

import json

import pytest

from services.client.channels import service_config


@pytest.mark.parametrize("attempts", [1, 4])
def test_calls_go_round_all_addresses_of_a_name(attempts: int) -> None:
    assert json.loads(service_config(attempts))["loadBalancingConfig"] == [{"round_robin": {}}]


def test_without_a_second_attempt_there_is_no_retry_policy() -> None:
    assert "methodConfig" not in json.loads(service_config(1))
