"""With the component `network-policies` everybody reaches whom they call, and nobody else does.

No cluster enforces them here: what a policy lets through is computed as the API's documentation says.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.system import manifests
from tests.system.manifests import Combinations, Document, environment, has, pods, selects

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

COMPONENT = "app.kubernetes.io/component"
TARGET = re.compile(r"(?:dns:///|http://)?([a-z][a-z0-9-]*)(?:\.[a-z0-9.-]+)?:(\d+)")
ADDRESSES = re.compile(r"BAKEOFF_ENDPOINT_\w+|BAKEOFF_EVALUATOR_SERVING_\w+|LOADTEST_TARGET|MLFLOW_TRACKING_URI")
"""Variables with the address of a service in them: who has one, calls it."""
WORKERS_PORT = 5557
"""Where Locust's master listens for its workers unless told otherwise."""
NAMES_PORT, HTTPS_PORT, POSTGRES_PORT = 53, 443, 5432


class Peer(NamedTuple):
    """One end of a connection."""

    labels: frozenset[tuple[str, str]]
    namespace: frozenset[tuple[str, str]] | None = None
    """Labels of its namespace; none: that of the policies."""


class Call(NamedTuple):
    """A connection that somebody opens."""

    caller: Peer
    callee: Peer
    port: int
    """The port of the pod, which is what policies are about, not the service's."""


MONITORING = Peer(frozenset(), frozenset({("kubernetes.io/metadata.name", "monitoring")}))
CLIENT = Peer(frozenset(), frozenset({("bakeoff/client", "true")}))
STRANGER = Peer(frozenset(), frozenset({("kubernetes.io/metadata.name", "default")}))
NEIGHBOUR = Peer(frozenset())


@pytest.fixture(scope="module")
def protected() -> Combinations:
    """Every combination with the component."""
    found = {name: documents for name, documents in manifests.combined().items() if has(name, "network-policies")}
    assert found
    return found


@pytest.fixture(scope="module")
def policies(protected: Combinations) -> list[Document]:
    """The same in every combination."""
    all_of_them = manifests.distinct(protected)
    found = {each["metadata"]["name"]: each["spec"] for each in all_of_them if each["kind"] == "NetworkPolicy"}
    for document in all_of_them:
        if document["kind"] == "NetworkPolicy":
            assert document["spec"] == found[document["metadata"]["name"]]
    return list(found.values())


@pytest.fixture(scope="module")
def opened(protected: Combinations) -> set[Call]:
    """Every connection that any combination opens."""
    return {call for documents in protected.values() for call in calls(documents)}


@pytest.fixture(scope="module")
def listening(protected: Combinations) -> set[tuple[Peer, int, str]]:
    """Every port of every pod, with the pod's name."""
    return {
        (peer(labels), port["containerPort"], labels["app.kubernetes.io/name"])
        for documents in protected.values()
        for _, labels, spec in pods(documents)
        for port in spec["containers"][0].get("ports", [])
    }


def peer(labels: Document) -> Peer:
    return Peer(frozenset(labels.items()))


def calls(documents: list[Document]) -> Iterator[Call]:
    """Who calls whom, by the addresses that pods are given."""
    for _, labels, spec in pods(documents):
        container = spec["containers"][0]
        told = environment(container, documents)
        targets = {value for variable, value in told.items() if ADDRESSES.fullmatch(variable)}
        words = container.get("args", [])
        if "--master-host" in words:
            targets.add(f"{words[words.index('--master-host') + 1]}:{WORKERS_PORT}")
        for target in targets:
            host, port = TARGET.fullmatch(target).groups()  # type: ignore[union-attr]
            yield Call(peer(labels), *behind(host, int(port), documents))


def behind(service: str, port: int, documents: list[Document]) -> tuple[Peer, int]:
    """The pods that a port of a service leads to, and which of theirs."""
    (spec,) = (each["spec"] for each in documents if manifests.key(each) == ("Service", service))
    (entry,) = (each for each in spec["ports"] if each["port"] == port)
    ((labels, pod),) = (
        (labels, pod) for _, labels, pod in pods(documents) if spec["selector"].items() <= labels.items()
    )
    return peer(labels), port_named(entry["targetPort"], pod)


def port_named(name: str, spec: Document) -> int:
    (port,) = (each["containerPort"] for each in spec["containers"][0]["ports"] if each["name"] == name)
    return int(port)


def lets_through(policies: list[Document], call: Call, protocol: str = "TCP") -> bool:
    """Whether a connection is allowed where it leaves and where it arrives; pods elsewhere have no policies here."""
    out = call.caller.namespace is not None or allows(policies, "Egress", call.caller, call.callee, call.port, protocol)
    return out and (
        call.callee.namespace is not None or allows(policies, "Ingress", call.callee, call.caller, call.port, protocol)
    )


def allows(policies: list[Document], way: str, own: Peer, other: Peer, port: int, protocol: str) -> bool:
    """What policies for a pod say about one way: any rule of any of them is enough; without a policy all is open."""
    mine = [each for each in policies if way in each["policyTypes"] and selects(each["podSelector"], dict(own.labels))]
    ends = {"Ingress": "from", "Egress": "to"}[way]
    for rule in (rule for each in mine for rule in each.get(way.lower(), [])):
        through = [(each["port"], each.get("protocol", "TCP")) for each in rule.get("ports", [])]
        if (ends not in rule or any(means(each, other) for each in rule[ends])) and (
            not through or (port, protocol) in through
        ):
            return True
    return not mine


def means(selector: Document, other: Peer) -> bool:
    """Whether one end of a rule is this peer: without a selector of namespaces, one of the policy's own."""
    assert selector.keys() <= {"podSelector", "namespaceSelector"}
    if "namespaceSelector" in selector:
        at_home = other.namespace is not None and selects(selector["namespaceSelector"], dict(other.namespace))
    else:
        at_home = other.namespace is None
    return at_home and selects(selector.get("podSelector", {}), dict(other.labels))


def test_everybody_reaches_whom_they_call(opened: set[Call], policies: list[Document]) -> None:
    assert {
        (dict(call.caller.labels)[COMPONENT], dict(call.callee.labels)[COMPONENT], call.port) for call in opened
    } == {
        ("experiment", "trainer", 7101),
        ("experiment", "evaluator", 7105),
        ("experiment", "serving", 7111),
        ("experiment", "tracking", 5000),
        ("evaluator", "serving", 7111),
        ("loadtest", "serving", 7111),
        ("loadtest", "loadtest", WORKERS_PORT),
    }
    assert [call for call in opened if not lets_through(policies, call)] == []
    # They call by name, and the servers of names may be anywhere.
    for caller in {call.caller for call in opened}:
        assert lets_through(policies, Call(caller, STRANGER, NAMES_PORT), "UDP"), caller
        assert lets_through(policies, Call(caller, STRANGER, NAMES_PORT)), caller


def test_prometheus_reaches_the_metrics_of_every_pod_it_is_told_to_scrape(
    protected: Combinations, policies: list[Document]
) -> None:
    scraped = set()
    for name, documents in protected.items():
        if not has(name, "observability"):
            continue
        (monitor,) = (each["spec"] for each in documents if each["kind"] == "PodMonitor")
        for _, labels, spec in pods(documents):
            if selects(monitor["selector"], labels):
                scraped |= {(peer(labels), port_named(each["port"], spec)) for each in monitor["podMetricsEndpoints"]}
    assert {port for _, port in scraped} == {8101, 8105, 8111}
    for pod, port in scraped:
        assert lets_through(policies, Call(MONITORING, pod, port)), (pod, port)
        assert not lets_through(policies, Call(STRANGER, pod, port)), (pod, port)
        assert not lets_through(policies, Call(CLIENT, pod, port)), (pod, port)


def test_clients_of_production_live_in_namespaces_with_a_label_and_reach_nothing_else(
    listening: set[tuple[Peer, int, str]], policies: list[Document]
) -> None:
    open_to = {
        client: {(name, port) for pod, port, name in listening if lets_through(policies, Call(client, pod, port))}
        for client in (CLIENT, STRANGER, NEIGHBOUR)
    }
    # A pod that no policy is about by name.
    assert not lets_through(policies, Call(STRANGER, NEIGHBOUR, HTTPS_PORT))
    assert open_to == {CLIENT: {("production", 7111), ("kserve", 9000)}, STRANGER: set(), NEIGHBOUR: set()}


def test_who_only_answers_reaches_nobody_and_only_who_fetches_gets_out(
    listening: set[tuple[Peer, int, str]], opened: set[Call], policies: list[Document]
) -> None:
    """Out means to port 443: data sets, pretrained weights, a bucket. Servers fetch where their models are in one.

    MLflow alone reaches a database.
    """
    out: dict[str, set[bool]] = {}
    for caller in {pod for pod, _, _ in listening} | {call.caller for call in opened}:
        component = dict(caller.labels)[COMPONENT]
        who = "server of a bucket" if ("bakeoff/bucket", "true") in caller.labels else component
        out.setdefault(who, set()).add(lets_through(policies, Call(caller, STRANGER, HTTPS_PORT)))
        database = lets_through(policies, Call(caller, STRANGER, POSTGRES_PORT))
        assert database is (component == "tracking"), caller
        if component in ("trainer", "serving", "tracking"):
            reached = {(name, port) for pod, port, name in listening if lets_through(policies, Call(caller, pod, port))}
            assert not reached, caller
    fetching = {"trainer", "evaluator", "experiment", "server of a bucket"}
    assert out == {component: {component in fetching} for component in fetching | {"serving", "tracking", "loadtest"}}
