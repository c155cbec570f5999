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

variable "database" {
  description = "PostgreSQL: instance class, GiB, whether a second zone stands by, days that backups are kept."
  type = object({
    instance_class = string
    storage_gb     = number
    multi_az       = bool
    backup_days    = number
  })

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.database.instance_class))
    error_message = "database.instance_class must be a class such as db.t4g.medium."
  }
  validation {
    condition     = var.database.backup_days >= 7 && var.database.backup_days <= 35 && var.database.storage_gb >= 20
    error_message = "database.backup_days must be 7 to 35, database.storage_gb at least 20."
  }
}

variable "images" {
  description = "Images that the platform is made of."
  type        = set(string)
  default     = ["server", "jobs", "triton", "triton-gpu", "mlflow"]
}
