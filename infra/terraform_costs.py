"""What a month of each environment costs; `python -m infra.terraform_costs` prints it for infra/terraform/README.md.

List prices of us-east-1 without commitments, entered by hand and not asked of AWS: to be checked before they are used.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

NOTED = "2026-11-24"
HOURS = 730  # of a month
SIZES = ("dev", "staging", "prod")


class Price(NamedTuple):
    """Dollars for one `unit`, and the page below aws.amazon.com that says so."""

    dollars: float
    unit: str
    page: str


class Line(NamedTuple):
    """A part of the bill: what is counted, at which price, and how much of it in dev, staging and prod a month."""

    what: str
    price: str
    amounts: tuple[float, float, float]


PRICES = {
    "eks": Price(0.10, "cluster hour", "eks/pricing"),
    "m7i.large": Price(0.1008, "node hour", "ec2/pricing/on-demand"),
    "c7i.4xlarge": Price(0.714, "node hour", "ec2/pricing/on-demand"),
    "c7i.16xlarge": Price(2.856, "node hour", "ec2/pricing/on-demand"),
    "ebs": Price(0.08, "GB-month, gp3", "ebs/pricing"),
    "kafka.t3.small": Price(0.0456, "broker hour", "msk/pricing"),
    "kafka.m7g.large": Price(0.204, "broker hour", "msk/pricing"),
    "express.m7g.4xlarge": Price(3.264, "broker hour", "msk/pricing"),
    "kafka storage": Price(0.10, "GB-month", "msk/pricing"),
    "express writes": Price(0.01, "GB written", "msk/pricing"),
    "cache.t4g.small": Price(0.0256, "node hour", "elasticache/pricing"),
    "cache.r7g.large": Price(0.1752, "node hour", "elasticache/pricing"),
    "cache.r7g.4xlarge": Price(1.3992, "node hour", "elasticache/pricing"),
    "reads": Price(0.125, "million on-demand reads", "dynamodb/pricing/on-demand"),
    "writes": Price(0.625, "million on-demand writes", "dynamodb/pricing/on-demand"),
    "read unit": Price(0.00013, "unit hour", "dynamodb/pricing/provisioned"),
    "write unit": Price(0.00065, "unit hour", "dynamodb/pricing/provisioned"),
    "table": Price(0.45, "GB-month with point-in-time recovery", "dynamodb/pricing"),
    "db.t4g.small": Price(0.032, "hour, one zone", "rds/postgresql/pricing"),
    "db.m7g.large": Price(0.337, "hour, two zones", "rds/postgresql/pricing"),
    "db.m7g.2xlarge": Price(1.348, "hour, two zones", "rds/postgresql/pricing"),
    "db storage": Price(0.23, "GB-month, two zones", "rds/postgresql/pricing"),
    "kpu": Price(0.11, "unit hour", "managed-service-apache-flink/pricing"),
    "fargate vcpu": Price(0.04048, "vCPU hour", "fargate/pricing"),
    "fargate memory": Price(0.004445, "GB hour", "fargate/pricing"),
    "emr vcpu": Price(0.052624, "vCPU hour", "emr/pricing"),
    "emr memory": Price(0.0057785, "GB hour", "emr/pricing"),
    "s3": Price(0.022, "GB-month", "s3/pricing"),
    "s3 cold": Price(0.0125, "GB-month, infrequent access", "s3/pricing"),
    "nat": Price(0.045, "gateway hour, or GB", "vpc/pricing"),
    "nlb": Price(0.0225, "balancer hour", "elasticloadbalancing/pricing"),
    "lcu": Price(0.006, "capacity unit hour", "elasticloadbalancing/pricing"),
    "zones": Price(0.02, "GB between zones, both ways", "ec2/pricing/on-demand"),
    "samples": Price(0.09, "million samples, the first 2 billion", "prometheus/pricing"),
    "grafana": Price(9.0, "editor", "grafana/pricing"),
    "logs": Price(0.50, "GB taken in", "cloudwatch/pricing"),
    "kms": Price(1.0, "key", "kms/pricing"),
    "secret": Price(0.40, "secret", "secrets-manager/pricing"),
}
H = HOURS
LINES = (
    Line("Kubernetes' control plane", "eks", (H, H, H)),
    Line("Nodes, m7i.large", "m7i.large", (2 * H, 0, 0)),
    Line("Nodes, c7i.4xlarge", "c7i.4xlarge", (0, 3 * H, 0)),
    Line("Nodes, c7i.16xlarge, on average", "c7i.16xlarge", (0, 0, 24 * H)),
    Line("Disks of the nodes", "ebs", (100, 300, 4_800)),
    Line("Brokers, kafka.t3.small", "kafka.t3.small", (3 * H, 0, 0)),
    Line("Brokers, kafka.m7g.large", "kafka.m7g.large", (0, 3 * H, 0)),
    Line("Brokers, express.m7g.4xlarge", "express.m7g.4xlarge", (0, 0, 9 * H)),
    Line("Kafka's storage", "kafka storage", (60, 9_000, 85_000)),
    Line("Written to Kafka", "express writes", (0, 0, 368_000)),
    Line("Valkey, cache.t4g.small", "cache.t4g.small", (2 * H, 0, 0)),
    Line("Valkey, cache.r7g.large", "cache.r7g.large", (0, 4 * H, 0)),
    Line("Valkey, cache.r7g.4xlarge", "cache.r7g.4xlarge", (0, 0, 32 * H)),
    Line("DynamoDB, reads on demand", "reads", (50, 1_050, 500)),
    Line("DynamoDB, writes on demand", "writes", (10, 120, 600)),
    Line("DynamoDB, provisioned reads", "read unit", (0, 0, 750_000 * H)),
    Line("DynamoDB, provisioned writes", "write unit", (0, 0, 40_000 * H)),
    Line("DynamoDB, storage", "table", (5, 20, 220)),
    Line("PostgreSQL, db.t4g.small", "db.t4g.small", (H, 0, 0)),
    Line("PostgreSQL, db.m7g.large", "db.m7g.large", (0, H, 0)),
    Line("PostgreSQL, db.m7g.2xlarge", "db.m7g.2xlarge", (0, 0, H)),
    Line("PostgreSQL, storage", "db storage", (20, 100, 500)),
    Line("Flink, units", "kpu", (4 * H, 10 * H, 130 * H)),
    Line("Scheduled commands, vCPU hours", "fargate vcpu", (490, 3_900, 29_000)),
    Line("Scheduled commands, GB hours", "fargate memory", (1_950, 15_600, 219_000)),
    Line("Spark, vCPU hours", "emr vcpu", (0, 0, 60_000)),
    Line("Spark, GB hours", "emr memory", (0, 0, 240_000)),
    Line("Lake, the last 30 days", "s3", (200, 10_500, 263_000)),
    Line("Lake, older", "s3 cold", (0, 52_500, 3_150_000)),
    Line("NAT gateways and what passes", "nat", (H + 50, 3 * H + 500, 3 * H + 20_000)),
    Line("Load balancer", "nlb", (H, H, H)),
    Line("Load balancer, capacity", "lcu", (H, 15 * H, 2_880 * H)),
    Line("Traffic between zones", "zones", (50, 15_000, 2_838_000)),
    Line("Metrics, million samples", "samples", (500, 2_000, 9_000)),
    Line("Grafana, editors", "grafana", (2, 5, 20)),
    Line("Logs", "logs", (20, 200, 2_000)),
    Line("Keys", "kms", (9, 9, 9)),
    Line("Secrets, RDS's own included", "secret", (3, 3, 3)),
)


def months() -> str:
    """The month of each environment, line by line, in dollars."""
    rows = ["| part | dev | staging | prod |", "|---|---:|---:|---:|"]
    totals = [0.0] * len(SIZES)
    for line in LINES:
        dollars = [amount * PRICES[line.price].dollars for amount in line.amounts]
        totals = [total + d for total, d in zip(totals, dollars, strict=True)]
        rows.append(f"| {line.what} | {' | '.join(f'{d:,.0f}' if d else '' for d in dollars)} |")
    return "\n".join([*rows, f"| **a month, dollars** | {' | '.join(f'**{t:,.0f}**' for t in totals)} |"])


def prices() -> str:
    """The unit prices, with the page of each."""
    rows = ["| price | dollars | for one | page below aws.amazon.com |", "|---|---:|---|---|"]
    rows += [f"| {name} | {p.dollars:g} | {p.unit} | {p.page} |" for name, p in PRICES.items()]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{months()}\n\n{prices()}\n")
