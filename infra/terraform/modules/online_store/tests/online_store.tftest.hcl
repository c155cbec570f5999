# Every table of the plan is there, loses what is too old and nothing else; Valkey is asked by TLS and by name.

mock_provider "aws" {}

variables {
  name        = "adfeast-test"
  account     = { id = "111122223333", region = "us-east-1" }
  vpc_id      = "vpc-1"
  subnet_ids  = ["subnet-1", "subnet-2"]
  clients     = { nodes = "sg-1" }
  log_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
  capacity    = { user = { read_units = 100, write_units = 10 } }
  valkey      = { node_type = "cache.r7g.large", shards = 2, replicas = 1, snapshot_days = 1 }
  tables = {
    "adfeast.user_profile" = { view = "user_profile", entity = "user", key = "entity_id", expiry = "expires_at", max_age_s = 10, keep_s = 20 }
    "adfeast.ad_history"   = { view = "ad_history", entity = "ad", key = "entity_id", expiry = "expires_at", max_age_s = 10, keep_s = 20 }
  }
}

run "tables_are_those_of_the_plan" {
  command = plan

  assert {
    condition     = { for n, t in aws_dynamodb_table.view : t.name => t.hash_key } == { for n, t in var.tables : n => t.key }
    error_message = "a table of the plan is missing, or has another key"
  }
  assert {
    condition     = alltrue([for n, t in aws_dynamodb_table.view : one(t.ttl).enabled && one(t.ttl).attribute_name == var.tables[n].expiry])
    error_message = "a table keeps what is too old for ever"
  }
  assert {
    condition     = alltrue([for t in aws_dynamodb_table.view : one(t.point_in_time_recovery).enabled])
    error_message = "a table cannot be restored to a point in time"
  }
  assert {
    condition     = alltrue([for t in aws_dynamodb_table.view : one(t.server_side_encryption).enabled && t.deletion_protection_enabled])
    error_message = "a table is not encrypted by our key, or may be deleted"
  }
}

run "what_is_provisioned_is_so_by_entity" {
  command = plan

  assert {
    condition = jsonencode({ for n, t in aws_dynamodb_table.view : n => [t.billing_mode, t.read_capacity] }) == jsonencode({
      "adfeast.user_profile" = ["PROVISIONED", 100]
      "adfeast.ad_history"   = ["PAY_PER_REQUEST", null]
    })
    error_message = "a table has another capacity"
  }
}

run "valkey_is_a_cluster_with_tls_and_names" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "Valkey may be asked without TLS"
  }
  assert {
    condition     = tobool(aws_elasticache_replication_group.this.at_rest_encryption_enabled)
    error_message = "Valkey's snapshots are not encrypted"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.cluster_mode == "enabled" && aws_elasticache_replication_group.this.num_node_groups == 2
    error_message = "Valkey is no cluster"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "a lost node or zone stops Valkey"
  }
  assert {
    condition     = alltrue([for u in aws_elasticache_user.program : one(u.authentication_mode).type == "iam"])
    error_message = "a user has a password, or needs none"
  }
}

run "the_server_cannot_write" {
  command = plan

  assert {
    condition     = !strcontains(aws_elasticache_user.program["server"].access_string, "+@write") && !strcontains(aws_elasticache_user.program["server"].access_string, "+@all")
    error_message = "the prediction server may change what it reads"
  }
  assert {
    condition     = alltrue([for u in aws_elasticache_user.program : strcontains(u.access_string, "-@all")])
    error_message = "a user begins with all rights"
  }
}

run "only_named_programs_connect" {
  command = plan

  assert {
    condition     = alltrue([for r in aws_vpc_security_group_ingress_rule.clients : r.cidr_ipv4 == null && r.cidr_ipv6 == null && r.from_port == 6379 && r.to_port == 6379])
    error_message = "a rule opens an address range, or more than Valkey's port"
  }
}

run "valkey_without_a_replica_is_refused" {
  command = plan
  variables {
    valkey = { node_type = "cache.r7g.large", shards = 2, replicas = 0, snapshot_days = 1 }
  }
  expect_failures = [var.valkey]
}
