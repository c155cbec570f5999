# Every module once, in the order in which they need each other: network and keys, data stores, roles, programs.

locals {
  account = var.deployment.account
  name    = "${var.plan.project}-${var.environment}"
  logs    = { log_days = var.sizes.log_days, key = module.log_key.arn }
  groups  = module.network.program_groups
  lake    = "s3://${module.lake.buckets.lake}"
}

module "log_key" {
  source      = "../key"
  name        = "${local.name}-logs"
  description = "Logs of ${local.name}"
  account     = local.account
  services    = ["logs.${local.account.region}.amazonaws.com"]
}

module "network" {
  source       = "../network"
  name         = local.name
  account      = local.account
  zones        = var.deployment.zones
  nat_per_zone = var.sizes.nat_per_zone
  log_days     = local.logs.log_days
  log_key_arn  = local.logs.key
}

module "kafka" {
  source           = "../kafka"
  name             = local.name
  account          = local.account
  vpc_id           = module.network.vpc_id
  subnet_ids       = module.network.private_subnet_ids
  clients          = local.groups
  topics           = var.plan.topics
  least_partitions = var.sizes.least_partitions
  brokers          = var.sizes.brokers
  log_days         = local.logs.log_days
  log_key_arn      = local.logs.key
}

module "online_store" {
  source      = "../online_store"
  name        = local.name
  account     = local.account
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  clients     = { nodes = local.groups.nodes }
  tables      = var.plan.tables
  capacity    = var.sizes.table_capacity
  valkey      = var.sizes.valkey
  log_days    = local.logs.log_days
  log_key_arn = local.logs.key
}

module "lake" {
  source         = "../lake"
  name           = local.name
  account        = local.account
  prefixes       = var.plan.lake
  retention_days = var.sizes.retention_days
}

module "registry" {
  source      = "../registry"
  name        = local.name
  account     = local.account
  vpc_id      = module.network.vpc_id
  subnet_ids  = module.network.private_subnet_ids
  clients     = { nodes = local.groups.nodes, jobs = local.groups.jobs }
  database    = var.sizes.database
  log_days    = local.logs.log_days
  log_key_arn = local.logs.key
}

module "iam" {
  source       = "../iam"
  name         = local.name
  account      = local.account
  project      = var.plan.project
  cluster_name = local.name
  tables       = keys(var.plan.tables)
  topics       = { for topic, t in var.plan.topics : topic => { kind = t.kind } }
  prefixes     = var.plan.lake
  key_arns = {
    online   = module.online_store.key_arn
    lake     = module.lake.key_arn
    registry = module.registry.key_arn
  }
}
