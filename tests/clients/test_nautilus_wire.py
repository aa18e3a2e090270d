# Copyright: (c) 2026, Ballast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our description of the newer protocol against that of nautilus_ibapi, and what that client writes as we read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from gateway_simulator import ib_pb2 as ib
from gateway_simulator import protobuf
from gateway_simulator.messages import HIGHEST_VERSION, TextDialect, dialect_for
from gateway_simulator.protobuf import OFFSET
from tests.clients.wire import NOW, REPLIES, ask, in_common

VERSIONS = range(201, HIGHEST_VERSION + 1)

# Of each field, by name: its number, type, and whether it repeats.
Fields = dict[str, list[Any]]


@pytest.fixture(scope="module")
def nautilus(pythons: Mapping[str, Path]) -> Path:
    """The Python of the client's environment."""
    return pythons["nautilus_ibapi"]


@pytest.fixture(scope="module")
def theirs(nautilus: Path) -> dict[str, Fields]:
    """The client's own messages, by name."""
    described: dict[str, Fields] = ask(nautilus, "descriptors")
    return described


@pytest.fixture(scope="module")
def sent(nautilus: Path) -> dict[int, dict[str, bytes]]:
    """What the client sends, by server version and case."""
    recorded = ask(nautilus, "requests", *VERSIONS)
    return {
        int(version): {case: bytes.fromhex(body) for case, body in cases.items()} for version, cases in recorded.items()
    }


def described(message: Descriptor) -> Fields:
    """Describe one of our messages as the client's are described."""
    fields: Fields = {}
    for field in message.fields:
        inner = field.message_type
        kind = inner.name if inner else FieldDescriptorProto.Type.Name(field.type)  # type: ignore[arg-type]
        is_map = inner is not None and inner.GetOptions().map_entry
        fields[field.name] = [field.number, "map" if is_map else kind, field.is_repeated]
    return fields


def parts_of(message: Descriptor) -> set[str]:
    """The names of a message and of all that it holds."""
    inner = [
        field.message_type
        for field in message.fields
        if field.message_type and not field.message_type.GetOptions().map_entry
    ]
    return {message.name}.union(*(parts_of(part) for part in inner))


OURS: dict[str, Descriptor] = dict(ib.DESCRIPTOR.message_types_by_name)
REQUESTS = set().union(*(parts_of(OURS[request.DESCRIPTOR.name]) for request, _decoder in protobuf._DECODERS.values()))


@pytest.fixture(scope="module")
def told(nautilus: Path) -> dict[int, dict[str, list[Any]]]:
    """What the client tells its user of each reply, by server version and case."""
    bodies: dict[int, list[list[str]]] = {}
    for version in VERSIONS:
        dialect = dialect_for(version, lambda: NOW)
        written = [write(dialect) for write in REPLIES.values()]
        bodies[version] = [
            [part[4:].hex() for part in ([frame] if isinstance(frame, bytes) else frame)] for frame in written
        ]
    answer = ask(nautilus, "replies", given=bodies)
    return {int(version): dict(zip(REPLIES, heard, strict=True)) for version, heard in answer.items()}


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_message_has_the_names_numbers_and_types_of_the_client(name: str, theirs: dict[str, Fields]) -> None:
    fields = described(OURS[name])
    assert fields.items() <= theirs[name].items()


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_nothing_of_a_request_goes_unseen(name: str, theirs: dict[str, Fields]) -> None:
    assert described(OURS[name]).keys() == theirs[name].keys()


def test_a_request_means_the_same_at_every_version(sent: dict[int, dict[str, bytes]]) -> None:
    for case, body in sent[HIGHEST_VERSION].items():
        meaning = dialect_for(HIGHEST_VERSION).decode(body)
        for version in VERSIONS:
            assert dialect_for(version).decode(sent[version][case]) == meaning, f"{case} at {version}"


@pytest.mark.parametrize(
    ("case", "since"),
    [
        ("reqExecutions", protobuf.EXECUTIONS),
        ("placeOrder limit", protobuf.ORDERS),
        ("reqOpenOrders", protobuf.ORDER_LISTS),
        ("reqContractDetails", protobuf.CONTRACTS),
        ("reqMktData", protobuf.MARKET_DATA),
        ("reqPositions", protobuf.ACCOUNTS),
        ("reqHistoricalData", protobuf.HISTORY),
        ("reqPnL", protobuf.PNL),
        ("reqMarketRule", protobuf.REFERENCE_DATA),
        ("startApi", protobuf.SESSION),
    ],
)
def test_the_client_goes_over_to_protobuf_at_our_versions(
    case: str, since: int, sent: dict[int, dict[str, bytes]]
) -> None:
    numbers = {version: int.from_bytes(sent[version][case][:4], "big") for version in VERSIONS}
    assert {version for version, number in numbers.items() if number > OFFSET} == set(range(since, HIGHEST_VERSION + 1))


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_means_the_same_at_every_version(case: str, told: dict[int, dict[str, list[Any]]]) -> None:
    meanings = {version: in_common(told[version][case]) for version in VERSIONS}
    assert all(meanings[HIGHEST_VERSION]), "the client said nothing"
    for version, meaning in meanings.items():
        assert meaning == meanings[HIGHEST_VERSION], f"at {version}"


def test_every_reply_is_among_those_compared() -> None:
    methods = {name for name, member in vars(TextDialect).items() if callable(member) and not name.startswith("_")}
    assert methods - {"decode", "decode_fields", "encode"} == {case.split(" ")[0] for case in REPLIES}
