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

variable "nodes_group_id" {
  description = "Security group of the nodes, which the data stores know."
  type        = string
}

variable "kubernetes_version" {
  description = "Version of Kubernetes."
  type        = string
  default     = "1.34"
}

variable "nodes" {
  description = "Node group to its instance types, sizes and whether it has GPUs. Groups with GPUs take only pods that ask for one."
  type = map(object({
    instance_types = list(string)
    least          = number
    most           = number
    disk_gb        = number
    gpu            = bool
  }))

  validation {
    condition     = contains(keys(var.nodes), "cpu") && !var.nodes["cpu"].gpu
    error_message = "nodes needs a group named cpu without GPUs: the servers run there."
  }
  validation {
    condition     = alltrue([for g in var.nodes : g.least >= 0 && g.most >= max(1, g.least) && length(g.instance_types) > 0])
    error_message = "each group of nodes needs instance types and least <= most."
  }
}

variable "pod_roles" {
  description = "Program to the role of its pods; its service account has the program's name."
  type        = map(string)
}

variable "namespace" {
  description = "Namespace of the platform's pods."
  type        = string
  default     = "adfeast"
}

variable "administrators" {
  description = "IAM roles that may do everything in the cluster."
  type        = set(string)

  validation {
    condition     = alltrue([for a in var.administrators : can(regex("^arn:aws:iam::[0-9]{12}:role/", a))])
    error_message = "administrators are ARNs of IAM roles."
  }
}

variable "load_balancer" {
  description = "Subnets of the load balancer for gRPC, who may connect (addresses), whether it is open to the internet, its certificate, the bucket of its logs."
  type = object({
    subnet_ids      = list(string)
    allowed         = set(string)
    public          = bool
    certificate_arn = string
    log_bucket      = string
  })

  validation {
    condition     = alltrue([for c in var.load_balancer.allowed : can(cidrhost(c, 0)) && !endswith(c, "/0")])
    error_message = "load_balancer.allowed are address ranges such as 10.0.0.0/16; the whole internet is none: Predict is asked by ad servers."
  }
  validation {
    condition     = startswith(var.load_balancer.certificate_arn, "arn:aws:acm:")
    error_message = "load_balancer.certificate_arn must be a certificate of ACM: gRPC is served by TLS only."
  }
}
