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

variable "subnet_ids" {
  description = "Private subnets that the jobs run in."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the jobs."
  type        = string
}

variable "jobs" {
  description = "Flink job to its kind, parallelism and arguments, as `adfeast plan --format terraform` says."
  type = map(object({
    kind          = string
    parallelism   = number
    checkpoint_ms = number
    arguments     = map(string)
  }))

  validation {
    condition     = alltrue([for j in var.jobs : contains(["features", "archive"], j.kind)])
    error_message = "the kind of a Flink job is features or archive."
  }
}

variable "least_parallelism" {
  description = "Kind of job to the parallelism it has at least, whatever the plan says: it is a matter of load."
  type        = map(number)
  default     = {}
}

variable "role_arns" {
  description = "Kind of job to its role."
  type        = map(string)
}

variable "code" {
  description = "The jobs' package: bucket and key of a zip; in it, the Python program that starts a job, and its jar. Null: no jobs."
  type = object({
    bucket = string
    key    = string
    python = string
    jar    = string
  })

  validation {
    condition     = var.code == null || try(endswith(var.code.key, ".zip") && startswith(var.code.key, "flink/"), false)
    error_message = "code.key must be a .zip below flink/, which is all of the bucket that the jobs may read."
  }
}

variable "runtime" {
  description = "Flink's version as AWS names it. The jobs need process table functions, which came with 2.1."
  type        = string
  default     = "FLINK-2_2"

  validation {
    condition     = can(regex("^FLINK-2_[1-9]$", var.runtime))
    error_message = "runtime must be FLINK-2_1 or later."
  }
}

variable "places" {
  description = "Addresses that every job is given beside its own arguments: kafka, lake."
  type        = map(string)
}

variable "started" {
  description = "Whether the jobs run; false until their package is uploaded."
  type        = bool
  default     = true
}
