# Valkey in cluster mode: TLS always, and one user a program, which signs in with IAM, so no password exists.

locals {
  # What a user may run. Programs that only read cannot write; nobody may flush, configure or list keys.
  users = {
    server = "on ~* -@all +@read +@connection +cluster|slots +cluster|shards +cluster|nodes +command +info -keys -scan"
    writer = "on ~* -@all +@read +@write +@connection +@scripting -@dangerous +cluster|slots +cluster|shards +cluster|nodes +command +info -keys -scan"
  }
}

resource "aws_security_group" "valkey" {
  name        = "${var.name}-valkey"
  description = "Valkey nodes: programs that are named may connect, by TLS"
  vpc_id      = var.vpc_id
  tags        = { Name = "${var.name}-valkey" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each                     = var.clients
  description                  = each.key
  security_group_id            = aws_security_group.valkey.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-valkey8"
  family = "valkey8"

  parameter {
    name  = "cluster-enabled"
    value = "yes"
  }
  # A full store must refuse a value, not drop another one in silence.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
}

resource "aws_elasticache_user" "program" {
  for_each      = local.users
  user_id       = "${var.name}-${each.key}"
  user_name     = "${var.name}-${each.key}"
  engine        = "valkey"
  access_string = each.value

  authentication_mode {
    type = "iam"
  }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "valkey"
  user_ids      = [for user in aws_elasticache_user.program : user.user_id]
}

resource "aws_cloudwatch_log_group" "valkey" {
  name              = "/adfeast/${var.name}/valkey"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Stream features of ${var.name}"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.valkey.node_type
  port                       = 6379
  cluster_mode               = "enabled"
  num_node_groups            = var.valkey.shards
  replicas_per_node_group    = var.valkey.replicas
  automatic_failover_enabled = true
  multi_az_enabled           = true
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.valkey.id]
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = module.key.arn
  snapshot_retention_limit   = var.valkey.snapshot_days
  auto_minor_version_upgrade = true
  apply_immediately          = false

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.valkey.name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}
