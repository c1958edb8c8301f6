"""Sources that are merged as one group are read by one member; the others stand by."""

from __future__ import annotations

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from tocsin.agents.worker.faust_runtime import ExclusiveAssignor

TOPICS = {"invoices": {0, 1, 2}, "payments": {0}}


class Cluster(ClusterMetadata):
    def partitions_for_topic(self, topic: str) -> set[int]:
        return TOPICS[topic]


def test_the_member_with_the_first_id_reads_everything() -> None:
    member = ConsumerProtocolMemberMetadata(0, list(TOPICS), b"")

    assigned = ExclusiveAssignor.assign(Cluster(), {"b": member, "a": member, "c": member})

    given = {name: entry.assignment for name, entry in assigned.items()}
    assert {topic: set(partitions) for topic, partitions in given["a"]} == TOPICS
    assert (given["b"], given["c"]) == ([], [])
