# What the plan schedules is started as it says, in its own role, and the scheduler can do nothing else.

mock_provider "aws" {}

variables {
  name              = "adfeast-test"
  account           = { id = "111122223333", region = "us-east-1" }
  subnet_ids        = ["subnet-1"]
  security_group_id = "sg-1"
  log_key_arn       = "arn:aws:kms:us-east-1:111122223333:key/1"
  registry_key_arn  = "arn:aws:kms:us-east-1:111122223333:key/2"
  image             = "111122223333.dkr.ecr.us-east-1.amazonaws.com/adfeast@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  size              = { cpu = 4096, memory = 16384, scratch = 50 }
  role_arns         = { batch = "arn:aws:iam::111122223333:role/batch" }
  environment       = { ADFEAST_LAKE = "s3://lake" }
  secrets           = { ADFEAST_REGISTRY_URL = "arn:aws:secretsmanager:us-east-1:111122223333:secret:adfeast-test/registry-url-abcdef" }
  schedules = {
    materialize-a = { role = "batch", command = ["adfeast", "batch", "materialize", "--view", "a"], interval_s = 86400, grace_s = 360, rate_minutes = 60 }
  }
}

run "schedules_are_those_of_the_plan" {
  command = plan

  assert {
    condition     = aws_scheduler_schedule.this["materialize-a"].schedule_expression == "rate(60 minutes)"
    error_message = "a command is asked at another rate"
  }
  assert {
    condition     = jsonencode(jsondecode(one(aws_scheduler_schedule.this["materialize-a"].target).input).containerOverrides[0].command) == jsonencode(var.schedules["materialize-a"].command)
    error_message = "another command is started"
  }
}

run "containers_are_closed" {
  command = plan

  assert {
    condition     = alltrue([for s in aws_scheduler_schedule.this : !one(one(one(s.target).ecs_parameters).network_configuration).assign_public_ip])
    error_message = "a container has a public address"
  }
  assert {
    condition     = aws_sqs_queue.lost.sqs_managed_sse_enabled
    error_message = "the queue of lost starts is not encrypted"
  }
}

run "a_tag_instead_of_a_digest_is_refused" {
  command = plan
  variables {
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/adfeast:latest"
  }
  expect_failures = [var.image]
}

run "a_role_that_nobody_has_is_refused" {
  command = plan
  variables {
    role_arns = { training = "arn:aws:iam::111122223333:role/training" }
  }
  expect_failures = [var.role_arns]
}
