output "settings" {
  description = "Addresses for the programs' settings, ADFEAST_...; the secrets are added where they run."
  value = {
    ADFEAST_PROJECT         = var.plan.project
    ADFEAST_AWS_REGION      = local.account.region
    ADFEAST_LAKE            = local.lake
    ADFEAST_KAFKA_BOOTSTRAP = module.kafka.bootstrap
    ADFEAST_REDIS_HOST      = module.online_store.redis_host
  }
}

output "redis_users" {
  description = "Program to the name it signs in to Valkey with."
  value       = module.online_store.redis_users
}

output "cluster_name" {
  description = "EKS cluster."
  value       = module.serving.cluster_name
}

output "grpc_address" {
  description = "Host name that ad servers ask, port 443."
  value       = module.serving.grpc_address
}

output "target_group_arn" {
  description = "Target group that Kubernetes registers the proxies with."
  value       = module.serving.target_group_arn
}

output "database" {
  description = "PostgreSQL: its host name, and the secret of its owner."
  value       = { address = module.registry.database_address, owner_secret_arn = module.registry.database_owner_secret_arn }
}

output "secret_arns" {
  description = "Secrets that a person fills once."
  value       = module.registry.secret_arns
}

output "image_urls" {
  description = "Image to the repository it is pushed to."
  value       = module.registry.image_urls
}

output "artifacts_bucket" {
  description = "Bucket of models, MLflow's files and the Flink package."
  value       = module.lake.buckets.artifacts
}

output "commands" {
  description = "To run a command by hand: ECS cluster, task definitions, subnets, security group."
  value = {
    cluster          = module.schedules.cluster_arn
    task_definitions = module.schedules.task_definitions
    subnets          = module.network.private_subnet_ids
    security_group   = local.groups.jobs
  }
}

output "spark_application_id" {
  description = "EMR Serverless application."
  value       = module.batch.application_id
}

output "observability" {
  description = "Prometheus and Grafana."
  value       = { prometheus = module.observability.prometheus_endpoint, grafana = module.observability.grafana_endpoint }
}

output "made" {
  description = "What was made of the plan, by name."
  value = {
    tables     = module.online_store.tables
    topics     = module.kafka.topics
    flink_jobs = keys(module.stream.applications)
    schedules  = module.schedules.schedules
  }
}
