# What runs: Spark, Flink, the pods' cluster, the scheduled commands, and what watches them.

module "batch" {
  source            = "../batch"
  name              = local.name
  account           = local.account
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = local.groups.jobs
  most              = var.sizes.spark
  log_days          = local.logs.log_days
}

module "stream" {
  source            = "../stream"
  name              = local.name
  account           = local.account
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = local.groups.stream
  jobs              = var.plan.flink.jobs
  least_parallelism = var.sizes.least_parallelism
  role_arns = {
    features = module.iam.role_arns["stream-features"]
    archive  = module.iam.role_arns["stream-archive"]
  }
  code = var.deployment.flink == null ? null : {
    bucket = module.lake.buckets.artifacts
    key    = var.deployment.flink.package
    python = var.deployment.flink.python
    jar    = var.deployment.flink.jar
  }
  places      = { kafka = module.kafka.bootstrap, lake = local.lake }
  started     = var.deployment.started
  log_days    = local.logs.log_days
  log_key_arn = local.logs.key
}

module "serving" {
  source         = "../serving"
  name           = local.name
  account        = local.account
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  nodes_group_id = local.groups.nodes
  nodes          = var.sizes.nodes
  administrators = var.deployment.administrators
  pod_roles = merge(
    { for program in module.iam.pods : program => module.iam.role_arns[program] },
    { collector = module.observability.collector_role_arn },
  )
  load_balancer = {
    subnet_ids      = module.network.private_subnet_ids
    allowed         = var.deployment.ad_servers
    public          = false
    certificate_arn = var.deployment.certificate_arn
    log_bucket      = module.lake.buckets.logs
  }
  log_days    = local.logs.log_days
  log_key_arn = local.logs.key
}

module "schedules" {
  source            = "../schedules"
  name              = local.name
  account           = local.account
  subnet_ids        = module.network.private_subnet_ids
  security_group_id = local.groups.jobs
  schedules         = var.plan.schedules
  role_arns         = { for role in ["apply", "batch", "training"] : role => module.iam.role_arns[role] }
  image             = "${module.registry.image_urls["jobs"]}@${var.deployment.image_digest}"
  size              = var.sizes.command
  registry_key_arn  = module.registry.key_arn
  enabled           = var.deployment.started
  log_days          = local.logs.log_days
  log_key_arn       = local.logs.key

  environment = {
    ADFEAST_PROJECT         = var.plan.project
    ADFEAST_AWS_REGION      = local.account.region
    ADFEAST_LAKE            = local.lake
    ADFEAST_LOCAL           = "/scratch"
    ADFEAST_KAFKA_BOOTSTRAP = module.kafka.bootstrap
    ADFEAST_MLFLOW_URL      = var.deployment.mlflow_url
  }
  secrets = {
    ADFEAST_REGISTRY_URL = module.registry.secret_arns["registry-url"]
    ADFEAST_LEDGER_URL   = module.registry.secret_arns["registry-url"]
  }
}

module "observability" {
  source            = "../observability"
  name              = local.name
  account           = local.account
  rules             = var.rules
  receivers         = var.deployment.alarm_receivers
  lost_starts_queue = "${local.name}-lost-starts"
  log_days          = local.logs.log_days
  log_key_arn       = local.logs.key
}
