# Kafka on MSK: TLS between all, IAM says who reads and writes which topic, nobody is anonymous.

locals {
  port        = 9098 # IAM over TLS
  express     = startswith(var.brokers.instance_type, "express.")
  replication = min(3, var.brokers.count)
  # A message that a topic takes must fit into what a follower fetches.
  largest = max(1048588, [for t in var.topics : tonumber(lookup(t.configs, "max.message.bytes", "0"))]...)
}

module "key" {
  source      = "../key"
  name        = "${var.name}-kafka"
  description = "Volumes of the brokers of ${var.name}"
  account     = var.account
  services    = ["kafka.amazonaws.com"]
}

resource "aws_security_group" "brokers" {
  name        = "${var.name}-kafka"
  description = "Kafka brokers: programs that are named may connect, by TLS"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-kafka" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each                     = var.clients
  description                  = each.key
  security_group_id            = aws_security_group.brokers.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_cloudwatch_log_group" "brokers" {
  name              = "/adfeast/${var.name}/kafka"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = [var.kafka_version]
  server_properties = join("\n", concat(
    ["auto.create.topics.enable=false", "message.max.bytes=${local.largest}"],
    # Express brokers set the rest themselves.
    local.express ? [] : [
      "default.replication.factor=${local.replication}",
      "min.insync.replicas=${max(1, local.replication - 1)}",
      "unclean.leader.election.enable=false",
      "replica.fetch.max.bytes=${local.largest}",
    ],
  ))
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = var.brokers.count
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"

  broker_node_group_info {
    instance_type   = var.brokers.instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.brokers.id]

    dynamic "storage_info" {
      for_each = local.express ? [] : [var.brokers.volume_gb]
      content {
        ebs_storage_info {
          volume_size = storage_info.value
        }
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  client_authentication {
    unauthenticated = false
    sasl {
      iam   = true
      scram = false
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = module.key.arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }
      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.brokers.name
      }
    }
  }
}

resource "aws_msk_topic" "this" {
  for_each           = var.topics
  cluster_arn        = aws_msk_cluster.this.arn
  name               = each.key
  partition_count    = max(each.value.partitions, lookup(var.least_partitions, each.value.kind, 1))
  replication_factor = local.replication
  configs            = jsonencode(each.value.configs)
}
