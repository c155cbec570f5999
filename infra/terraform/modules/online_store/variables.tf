variable "name" {
  description = "Prefix of every name, such as adfeast-prod."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,23}$", var.name))
    error_message = "name must be 3 to 24 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "account" {
  description = "The AWS account and its region."
  type = object({
    id     = string
    region = string
  })

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account.id)) && can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.account.region))
    error_message = "account.id must be 12 digits and account.region a name such as us-east-1."
  }
}

variable "log_days" {
  description = "How long logs are kept in CloudWatch."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 180, 365, 731], var.log_days)
    error_message = "log_days must be one of 30, 60, 90, 180, 365, 731, which CloudWatch knows."
  }
}

variable "log_key_arn" {
  description = "KMS key of the logs."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one a zone."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids needs subnets of at least 2 zones."
  }
}

variable "clients" {
  description = "Who may connect: name to security group."
  type        = map(string)
}

variable "tables" {
  description = "DynamoDB table to its key and expiry attribute, as `adfeast plan --format terraform` says."
  type = map(object({
    view      = string
    entity    = string
    key       = string
    expiry    = string
    max_age_s = number
    keep_s    = number
  }))

  validation {
    condition     = alltrue([for t in var.tables : t.keep_s >= t.max_age_s])
    error_message = "a row must be kept (keep_s) at least as long as it is served (max_age_s)."
  }
}

variable "capacity" {
  description = "Entity to the capacity that each table of its views is provisioned with; others are on demand."
  type        = map(object({ read_units = number, write_units = number }))
  default     = {}

  validation {
    condition     = alltrue([for c in var.capacity : c.read_units >= 1 && c.write_units >= 1])
    error_message = "capacity needs at least 1 read and 1 write unit."
  }
}

variable "valkey" {
  description = "Valkey: node type, shards, replicas of each shard, days that snapshots are kept."
  type = object({
    node_type     = string
    shards        = number
    replicas      = number
    snapshot_days = number
  })

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.valkey.node_type))
    error_message = "valkey.node_type must be a node type such as cache.r7g.large."
  }
  validation {
    condition     = var.valkey.shards >= 1 && var.valkey.shards <= 500 && var.valkey.replicas >= 1 && var.valkey.replicas <= 5
    error_message = "valkey.shards must be 1 to 500, valkey.replicas 1 to 5: without a replica a lost node is lost data."
  }
}
