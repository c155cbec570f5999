variable "name" {
  description = "Alias of the key, without `alias/`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9/_-]+$", var.name))
    error_message = "name must be lower-case letters, digits, /, _ and -."
  }
}

variable "description" {
  description = "What the key encrypts."
  type        = string
}

variable "account" {
  description = "The AWS account and its region."
  type = object({
    id     = string
    region = string
  })
}

variable "services" {
  description = "AWS services that use the key themselves, such as logs.us-east-1.amazonaws.com."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for s in var.services : endswith(s, ".amazonaws.com")])
    error_message = "services are names that end with .amazonaws.com."
  }
}
