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

variable "topics" {
  description = "Topic to how it is created, as `adfeast plan --format terraform` says."
  type = map(object({
    kind       = string
    partitions = number
    configs    = map(string)
  }))

  validation {
    condition     = alltrue([for t in var.topics : contains(["events", "values", "late", "dead"], t.kind)])
    error_message = "the kind of a topic is events, values, late or dead."
  }
  validation {
    condition     = alltrue([for t in var.topics : t.partitions >= 1 && contains(keys(t.configs), "retention.ms")])
    error_message = "every topic needs at least 1 partition and a retention.ms."
  }
}

variable "least_partitions" {
  description = "Kind of topic to the partitions it has at least, whatever the plan says: their number is a matter of load."
  type        = map(number)
  default     = {}
}

variable "kafka_version" {
  description = "Version of the brokers."
  type        = string
  default     = "3.9.x"
}

variable "brokers" {
  description = "Number of brokers, their instance type, and the volume of each in GiB (0 for express brokers, which have none)."
  type = object({
    count         = number
    instance_type = string
    volume_gb     = number
  })

  validation {
    condition     = can(regex("^(kafka|express)\\.[a-z0-9]+\\.[a-z0-9]+$", var.brokers.instance_type))
    error_message = "brokers.instance_type must be a broker type such as kafka.m7g.large or express.m7g.4xlarge."
  }
  validation {
    condition     = startswith(var.brokers.instance_type, "express.") == (var.brokers.volume_gb == 0)
    error_message = "brokers.volume_gb must be 0 for express brokers and a size for the others."
  }
  validation {
    condition     = var.brokers.count >= length(var.subnet_ids) && var.brokers.count % length(var.subnet_ids) == 0
    error_message = "brokers.count must be a multiple of the number of subnets."
  }
}
