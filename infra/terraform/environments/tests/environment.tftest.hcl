# A whole deployment can be planned from the definitions, and has all that they ask for. `plan` comes from
# plan.auto.tfvars.json.

mock_provider "aws" {}

variables {
  deployment = {
    account         = { id = "111122223333", region = "us-east-1" }
    zones           = ["us-east-1a", "us-east-1b", "us-east-1c"]
    administrators  = ["arn:aws:iam::111122223333:role/platform-engineer"]
    ad_servers      = ["10.20.0.0/16"]
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/00000000-0000-0000-0000-000000000000"
    alarm_receivers = ["on-call@example.com"]
    image_digest    = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
    mlflow_url      = "http://mlflow.example.internal:5000"
    flink           = { package = "flink/adfeast-1.zip", python = "main.py", jar = "lib/jobs.jar" }
  }
}

run "all_that_is_planned_is_made" {
  command = plan

  assert {
    condition     = length(var.plan.tables) > 0 && toset(module.platform.made.tables) == toset(keys(var.plan.tables))
    error_message = "a table of the plan is missing"
  }
  assert {
    condition     = length(var.plan.topics) > 0 && toset(module.platform.made.topics) == toset(keys(var.plan.topics))
    error_message = "a topic of the plan is missing"
  }
  assert {
    condition     = toset(module.platform.made.flink_jobs) == toset(keys(var.plan.flink.jobs))
    error_message = "a Flink job of the plan is missing"
  }
  assert {
    condition     = length(module.platform.made.schedules) == length(var.plan.schedules)
    error_message = "a schedule of the plan is missing"
  }
}
