variable "environment" {
  description = "Which deployment of the project this is."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "environment must be dev, staging or prod."
  }
}

variable "deployment" {
  description = "What only its owner knows: the account, zones, who administers it, who asks it, who is told of alarms, what is deployed."
  type = object({
    account         = object({ id = string, region = string })
    zones           = list(string)
    administrators  = set(string)
    ad_servers      = set(string)
    certificate_arn = string
    alarm_receivers = set(string)
    image_digest    = string
    mlflow_url      = string
    flink           = optional(object({ package = string, python = string, jar = string }))
    started         = optional(bool, true)
  })

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.deployment.image_digest))
    error_message = "deployment.image_digest must be sha256: and 64 hex digits, as `docker push` prints it."
  }
  validation {
    condition     = can(regex("^https?://[^/]+", var.deployment.mlflow_url))
    error_message = "deployment.mlflow_url must be the address at which Kubernetes serves MLflow inside the VPC."
  }
  validation {
    condition     = alltrue([for zone in var.deployment.zones : startswith(zone, var.deployment.account.region)])
    error_message = "deployment.zones must lie in deployment.account.region."
  }
}

variable "plan" {
  description = "What follows from the definitions: `adfeast plan --format terraform`."
  type = object({
    format  = number
    project = string
    tables  = map(object({ view = string, entity = string, key = string, expiry = string, max_age_s = number, keep_s = number }))
    topics  = map(object({ kind = string, partitions = number, configs = map(string) }))
    lake    = map(object({ kind = string }))
    flink = object({
      jobs = map(object({ kind = string, parallelism = number, checkpoint_ms = number, arguments = map(string) }))
    })
    schedules = map(object({
      role = string, command = list(string), interval_s = number, grace_s = number, rate_minutes = number
    }))
  })

  validation {
    condition     = var.plan.format == 1
    error_message = "the plan is of another format: make it with the adfeast that lies beside these modules."
  }
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}$", var.plan.project))
    error_message = "plan.project must be 2 to 15 lower-case letters, digits and hyphens: it begins every name."
  }
}

variable "sizes" {
  description = "How large everything is."
  type = object({
    nat_per_zone     = bool
    brokers          = object({ count = number, instance_type = string, volume_gb = number })
    least_partitions = map(number)
    table_capacity   = optional(map(object({ read_units = number, write_units = number })), {})
    valkey           = object({ node_type = string, shards = number, replicas = number, snapshot_days = number })
    database         = object({ instance_class = string, storage_gb = number, multi_az = bool, backup_days = number })
    nodes = map(object({
      instance_types = list(string), least = number, most = number, disk_gb = number, gpu = bool
    }))
    spark             = object({ vcpus = number, memory_gb = number })
    command           = object({ cpu = number, memory = number, scratch = number })
    least_parallelism = map(number)
    retention_days    = map(number)
    log_days          = number
  })
}

variable "rules" {
  description = "Prometheus rule files: name to YAML."
  type        = map(string)
  default     = {}
}
