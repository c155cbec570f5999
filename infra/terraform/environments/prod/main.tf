# The prod deployment: an account of its own, because Feast's tables carry no name of an environment. Sizes stand here;
# what follows from the definitions is plan.auto.tfvars.json; what only the owner knows is terraform.tfvars (README).

terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.66"
    }
  }

  # Bucket, key and region come from backend.hcl.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.deployment.account.region
  allowed_account_ids = [var.deployment.account.id]

  default_tags {
    tags = merge(var.tags, { project = var.plan.project, environment = "prod", made_by = "terraform" })
  }
}

module "platform" {
  source      = "../../modules/platform"
  environment = "prod"
  deployment  = var.deployment
  plan        = var.plan

  sizes = local.sizes
}
