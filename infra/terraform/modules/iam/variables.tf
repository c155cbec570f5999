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

variable "project" {
  description = "Feast's project: consumer groups begin with it."
  type        = string
}

variable "cluster_name" {
  description = "Name of the Kafka cluster."
  type        = string
}

variable "tables" {
  description = "Names of the DynamoDB tables."
  type        = list(string)
}

variable "topics" {
  description = "Topic to what it carries: events, values, late or dead."
  type        = map(object({ kind = string }))
}

variable "prefixes" {
  description = "Prefix of the lake to what lies there."
  type        = map(object({ kind = string }))
}

variable "key_arns" {
  description = "KMS keys by what they encrypt: online, lake, registry."
  type = object({
    online   = string
    lake     = string
    registry = string
  })
}
