"""How Flink's jobs log in at Kafka. Runs in the Flink environment too: standard library only.

Plans are kept in files, and a password in none of them: it has a place in the plan, and is put there in the memory of
the program that starts the jobs. From there it goes to the JobManager with the job; Flink and Kafka hide it in what
they log and show.
"""

from __future__ import annotations

from typing import Any

Plan = dict[str, Any]
PLACE = "{kafka_password}"
_SECURITY = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"


def kafka_options(security: str, mechanism: str, username: str, authorities: str) -> dict[str, str]:
    """Options of Kafka's clients in a plan; none where everybody may come in.

    Args:
        authorities: certificates as PEM; empty: whom Java trusts. Their text, since a file would have to be on all
            machines of the cluster.
    """
    if security == "PLAINTEXT":
        return {}
    options = {"security.protocol": security}
    if security.startswith("SASL"):
        module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
        login = f'{_SECURITY}.{module} required username="{_quoted(username)}" password="{PLACE}";'
        options |= {"sasl.mechanism": mechanism, "sasl.jaas.config": login}
    if security.endswith("SSL") and authorities:
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": authorities}
    return options


def with_password(plan: Plan, password: str) -> Plan:
    """A plan whose jobs can log in, to be kept nowhere."""
    options = plan.get("kafka_options", {})
    return plan | {"kafka_options": {k: v.replace(PLACE, _quoted(password)) for k, v in options.items()}}


def _quoted(text: str) -> str:
    """As it stands between the quotes of a JAAS configuration."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
