"""Addresses that are worth a try, by builder and engine."""

from __future__ import annotations

import pytest

from proxy.builds.builders import Builder
from proxy.builds.candidates import DESKTOP_NAME, GATEWAY_ALIAS, Candidate, Surroundings, advice, candidates
from proxy.builds.engine_answers import EngineContainer

_OWN = Builder("default", "docker")
_CONTAINER = Builder("mine", "docker-container", network="builders")
_REMOTE = Builder("far", "remote")
_CLUSTER = Builder("k8s", "kubernetes")
_LINUX = Surroundings(gateway="172.17.0.1", own_addresses=("10.0.0.7",))
_DESKTOP = Surroundings(desktop=True, gateway="172.17.0.1", own_addresses=("10.0.0.7",))
_ROOTLESS = Surroundings(rootless=True, gateway="172.17.0.1", own_addresses=("10.0.0.7",))
_CACHE = EngineContainer(
    "1", "cache", "pullthrough", "running", networks={"bridge": "172.17.0.2", "builders": "172.20.0.2"}
)


@pytest.mark.parametrize(
    ("builder", "around", "expected"),
    [
        (_OWN, _LINUX, ["172.17.0.1:3199", "10.0.0.7:3199"]),
        (_OWN, _DESKTOP, [f"{DESKTOP_NAME}:3199", f"{GATEWAY_ALIAS}:3199", "10.0.0.7:3199"]),
        (_OWN, _ROOTLESS, ["10.0.0.7:3199"]),
        (_CONTAINER, _LINUX, ["172.17.0.1:3199", "10.0.0.7:3199"]),
        (_CONTAINER, _DESKTOP, [f"{DESKTOP_NAME}:3199", "10.0.0.7:3199"]),  # `host-gateway` is refused there
        (Builder("mine", "docker-container", network="host"), Surroundings(), ["127.0.0.1:3199"]),
        (_REMOTE, _LINUX, ["10.0.0.7:3199"]),
        (_CLUSTER, _DESKTOP, ["10.0.0.7:3199"]),
        (_OWN, Surroundings(), []),
    ],
)
def test_candidates__by_driver(builder: Builder, around: Surroundings, expected: list[str]) -> None:
    """The likeliest first; a builder elsewhere reaches this machine by its own address alone."""
    assert expected == [str(one) for one in candidates(builder, around, 3199)]


@pytest.mark.parametrize(
    ("builder", "first"), [(_OWN, "172.17.0.2:3142"), (_CONTAINER, "172.20.0.2:3142"), (_REMOTE, "10.0.0.7:3199")]
)
def test_candidates__cache_in_a_container(builder: Builder, first: str) -> None:
    """In the same network it is reached by its own address, at the port that it has inside."""
    around = Surroundings(gateway="172.17.0.1", own_addresses=("10.0.0.7",), container=_CACHE)

    assert first == str(candidates(builder, around, 3199)[0])


@pytest.mark.parametrize(
    ("builder", "around", "heard_on", "said"),
    [
        (_OWN, _LINUX, ["127.0.0.1"], "pullthrough serve --host 127.0.0.1,172.17.0.1"),
        (_OWN, _LINUX, ["127.0.0.1", "172.17.0.1"], "a firewall is in the way"),
        (_OWN, _DESKTOP, ["127.0.0.1"], "Publish its port on 127.0.0.1"),
        (
            _OWN,
            Surroundings(gateway="172.17.0.1", container=_CACHE),
            ["127.0.0.1"],
            "pullthrough setup, or PULLTHROUGH_BRIDGE=172.17.0.1",
        ),
        (_OWN, _ROOTLESS, ["127.0.0.1"], "pullthrough build --cache ADDRESS:PORT"),
        (_REMOTE, _LINUX, ["127.0.0.1"], "pullthrough build --cache ADDRESS:PORT"),
    ],
)
def test_advice__says_which_address_is_needed(
    builder: Builder, around: Surroundings, heard_on: list[str], said: str
) -> None:
    """The builder, its driver and what was tried are named."""
    text = advice(builder, around, [Candidate("10.0.0.7", 3199)], heard_on)

    assert f"the builder {builder.name} (driver {builder.driver}) do not reach the cache (10.0.0.7:3199)" in text
    assert said in text
