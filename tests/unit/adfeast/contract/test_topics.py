"""One place says which topics there are and how large their messages may be."""

from adfeast.contract.topics import fixed_topics, topics
from adfeast.settings import Settings
from tests.unit.streaming.jobs.test_sql import definitions


def test_every_topic_has_its_dead_letters_and_they_fit():
    found = topics(definitions(), Settings())
    assert set(found) == {
        "bids", "bids.dead", "snapshots", "snapshots.dead",
        "features.p.shop_bids", "features.p.shop_bids.dead", "late.p.shop_bids",
    }  # fmt: skip
    sizes = {name: int(t.configs.get("max.message.bytes", 1 << 20)) for name, t in found.items()}
    assert sizes["snapshots"] == 8 << 20
    assert all(sizes[f"{name}.dead"] > sizes[name] for name in ("bids", "snapshots", "features.p.shop_bids"))
    assert (found["bids"].partitions, found["snapshots"].partitions) == (2, 2)


def test_snapshots_need_no_definition():
    assert set(fixed_topics(Settings())) == {"snapshots", "snapshots.dead"}


def test_partitions_replication_and_retention_are_the_settings():
    chosen = Settings(event_partitions=12, feature_partitions=6, kafka_replication=3, kafka_retention_ms=86_400_000)
    found = topics(definitions(), chosen)
    assert (found["bids"].partitions, found["features.p.shop_bids"].partitions) == (12, 6)
    assert {t.replication for t in found.values()} == {3}
    assert {t.configs["retention.ms"] for t in found.values()} == {"86400000"}
    assert {t.configs["min.insync.replicas"] for t in found.values()} == {"2"}
