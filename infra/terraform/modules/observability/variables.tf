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

variable "rules" {
  description = "Prometheus rule files: name to YAML."
  type        = map(string)
  default     = {}
}

variable "receivers" {
  description = "E-mail addresses that are told of alarms; each confirms once."
  type        = set(string)

  validation {
    condition     = length(var.receivers) > 0 && alltrue([for r in var.receivers : can(regex("^[^@ ]+@[^@ ]+$", r))])
    error_message = "receivers needs at least one e-mail address: an alarm that nobody is told of is none."
  }
}

variable "lost_starts_queue" {
  description = "Queue of the scheduled starts that failed."
  type        = string
}

variable "metric_days" {
  description = "How long metrics are kept."
  type        = number
  default     = 150

  validation {
    condition     = var.metric_days >= 1 && var.metric_days <= 1095
    error_message = "metric_days must be 1 to 1095."
  }
}
