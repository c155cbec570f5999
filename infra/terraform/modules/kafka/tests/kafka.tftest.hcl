# Nobody talks to Kafka in the clear or without a name, and every topic of the plan is there as it says.

mock_provider "aws" {}

variables {
  name        = "adfeast-test"
  account     = { id = "111122223333", region = "us-east-1" }
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2", "subnet-3"]
  clients     = { nodes = "sg-1", stream = "sg-2" }
  log_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
  brokers     = { count = 3, instance_type = "kafka.m7g.large", volume_gb = 100 }
  topics = {
    impressions = { kind = "events", partitions = 2, configs = { "retention.ms" = "1000" } }
    values      = { kind = "values", partitions = 8, configs = { "retention.ms" = "2000" } }
    dead        = { kind = "dead", partitions = 1, configs = { "retention.ms" = "3000", "max.message.bytes" = "16777216" } }
  }
  least_partitions = { events = 12, values = 6 }
}

run "tls_and_a_name" {
  command = plan

  assert {
    condition     = one(one(aws_msk_cluster.this.encryption_info).encryption_in_transit).client_broker == "TLS"
    error_message = "clients may talk to brokers without TLS"
  }
  assert {
    condition     = one(one(aws_msk_cluster.this.encryption_info).encryption_in_transit).in_cluster
    error_message = "brokers talk to each other without TLS"
  }
  assert {
    condition     = !one(aws_msk_cluster.this.client_authentication).unauthenticated && one(one(aws_msk_cluster.this.client_authentication).sasl).iam
    error_message = "clients need no name"
  }
}

run "only_named_programs_connect" {
  command = plan

  assert {
    condition     = alltrue([for n, group in var.clients : aws_vpc_security_group_ingress_rule.clients[n].referenced_security_group_id == group])
    error_message = "others than the named programs may connect, or one of them may not"
  }
  assert {
    condition = alltrue([
      for r in aws_vpc_security_group_ingress_rule.clients : r.cidr_ipv4 == null && r.cidr_ipv6 == null && r.from_port == 9098 && r.to_port == 9098
    ])
    error_message = "a rule opens an address range, or more than the port for IAM over TLS"
  }
}

run "topics_are_those_of_the_plan" {
  command = plan

  assert {
    condition = {
      for n, t in aws_msk_topic.this : n => { partitions = t.partition_count, configs = jsondecode(t.configs) }
      } == {
      impressions = { partitions = 12, configs = { "retention.ms" = "1000" } }
      values      = { partitions = 8, configs = { "retention.ms" = "2000" } }
      dead        = { partitions = 1, configs = { "retention.ms" = "3000", "max.message.bytes" = "16777216" } }
    }
    error_message = "a topic is missing or differs from the plan"
  }
  assert {
    condition     = alltrue([for t in aws_msk_topic.this : t.replication_factor == 3])
    error_message = "a topic is lost with its brokers"
  }
  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "message.max.bytes=16777216")
    error_message = "the brokers refuse messages that a topic takes"
  }
  assert {
    condition     = strcontains(aws_msk_configuration.this.server_properties, "min.insync.replicas=2") && strcontains(aws_msk_configuration.this.server_properties, "auto.create.topics.enable=false")
    error_message = "a message may be acknowledged by one broker alone, or a topic made by a typing error"
  }
}

run "a_topic_without_retention_is_refused" {
  command = plan
  variables {
    topics = { impressions = { kind = "events", partitions = 2, configs = {} } }
  }
  expect_failures = [var.topics]
}
