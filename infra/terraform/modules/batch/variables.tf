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

variable "subnet_ids" {
  description = "Private subnets that the workers run in."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the workers."
  type        = string
}

variable "release" {
  description = "EMR release, which says which Spark there is."
  type        = string
  default     = "emr-7.12.0"

  validation {
    condition     = startswith(var.release, "emr-")
    error_message = "release must be an EMR release such as emr-7.12.0."
  }
}

variable "most" {
  description = "The most that all workers together may take: vCPUs and GiB of memory."
  type = object({
    vcpus     = number
    memory_gb = number
  })

  validation {
    condition     = var.most.vcpus >= 4 && var.most.memory_gb >= var.most.vcpus
    error_message = "most needs at least 4 vcpus and 1 GiB of memory for each."
  }
}
