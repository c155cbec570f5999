variable "deployment" {
  description = "What only its owner knows; its type stands in modules/platform."
  type        = any
}

variable "plan" {
  description = "What follows from the definitions: `adfeast plan --format terraform`; its type stands in modules/platform."
  type        = any
}

variable "tags" {
  description = "Tags of everything, such as a cost centre."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for k in keys(var.tags) : can(regex("^[a-z][a-z_-]*$", k)) && !contains(["project", "environment", "made_by"], k)])
    error_message = "tags are lower-case letters, _ and -; project, environment and made_by are set already."
  }
}
