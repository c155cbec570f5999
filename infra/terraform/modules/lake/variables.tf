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

variable "prefixes" {
  description = "Prefix of the lake to what lies there, as `adfeast plan --format terraform` says."
  type        = map(object({ kind = string }))

  validation {
    condition     = alltrue([for p in keys(var.prefixes) : endswith(p, "/")])
    error_message = "a prefix ends with a slash."
  }
}

variable "retention_days" {
  description = "Kind of what lies in the lake to how many days it is kept."
  type        = map(number)
  default = {
    events        = 400
    values        = 90
    rows          = 90
    delivered     = 400
    training_sets = 180
    quarantine    = 30
  }

  validation {
    condition     = alltrue([for days in var.retention_days : days >= 1 && floor(days) == days])
    error_message = "retention_days are whole days, at least 1."
  }
  validation {
    condition     = alltrue([for p in var.prefixes : contains(keys(var.retention_days), p.kind)])
    error_message = "every kind of the plan's prefixes needs its days in retention_days."
  }
}

variable "cold_days" {
  description = "After so many days what is kept longer moves to infrequent access (at least 30, which S3 asks for)."
  type        = number
  default     = 30

  validation {
    condition     = var.cold_days >= 30
    error_message = "cold_days must be at least 30."
  }
}
