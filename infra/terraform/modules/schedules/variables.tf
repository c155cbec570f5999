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
  description = "Private subnets that the containers run in."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the containers."
  type        = string
}

variable "schedules" {
  description = "Schedule to its role, command, interval and grace, as `adfeast plan --format terraform` says."
  type = map(object({
    role         = string
    command      = list(string)
    interval_s   = number
    grace_s      = number
    rate_minutes = number
  }))

  validation {
    condition     = alltrue([for s in var.schedules : s.rate_minutes * 60 <= s.interval_s && s.grace_s < s.interval_s])
    error_message = "a schedule is asked at least once an interval, and its grace is shorter than that."
  }
}

variable "role_arns" {
  description = "Roles that commands run in, scheduled or by hand: name to ARN."
  type        = map(string)

  validation {
    condition     = alltrue([for s in var.schedules : contains(keys(var.role_arns), s.role)])
    error_message = "every schedule's role needs its ARN in role_arns."
  }
}

variable "image" {
  description = "Image of the commands, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must end with @sha256: and a digest: a tag may be moved."
  }
}

variable "environment" {
  description = "Settings of the commands: ADFEAST_... to value. No secret belongs here."
  type        = map(string)

  validation {
    condition     = alltrue([for k in keys(var.environment) : startswith(k, "ADFEAST_")])
    error_message = "settings begin with ADFEAST_."
  }
}

variable "secrets" {
  description = "Settings that are secrets: ADFEAST_... to the ARN of the secret that holds the value."
  type        = map(string)
}

variable "registry_key_arn" {
  description = "KMS key of the secrets and of the image."
  type        = string
}

variable "size" {
  description = "Of one container, as Fargate knows it: CPU units (1024 a vCPU), MiB of memory, GiB of disk."
  type = object({
    cpu     = number
    memory  = number
    scratch = number
  })

  validation {
    condition     = contains([1024, 2048, 4096, 8192, 16384], var.size.cpu) && var.size.scratch >= 21 && var.size.scratch <= 200
    error_message = "size.cpu must be 1024, 2048, 4096, 8192 or 16384; size.scratch 21 to 200 GiB."
  }
}

variable "enabled" {
  description = "Whether the schedules run."
  type        = bool
  default     = true
}
