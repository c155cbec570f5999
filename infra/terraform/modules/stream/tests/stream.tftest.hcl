# One application a job of the plan, under the role of its kind, with the plan's arguments; its state is encrypted.

mock_provider "aws" {}

variables {
  name              = "adfeast-test"
  account           = { id = "111122223333", region = "us-east-1" }
  subnet_ids        = ["subnet-1"]
  security_group_id = "sg-1"
  log_key_arn       = "arn:aws:kms:us-east-1:111122223333:key/1"
  role_arns         = { features = "arn:aws:iam::111122223333:role/features", archive = "arn:aws:iam::111122223333:role/archive" }
  code              = { bucket = "adfeast-test-artifacts-111122223333", key = "flink/adfeast-1.zip", python = "main.py", jar = "lib/jobs.jar" }
  places            = { kafka = "broker:9098" }
  least_parallelism = { features = 4 }
  jobs = {
    features = { kind = "features", parallelism = 1, checkpoint_ms = 2000, arguments = { job = "features", digest = "abc" } }
    archive  = { kind = "archive", parallelism = 2, checkpoint_ms = 5000, arguments = { job = "archive", digest = "def" } }
  }
}

run "jobs_are_those_of_the_plan" {
  command = plan

  assert {
    condition = jsonencode({
      for job, a in aws_kinesisanalyticsv2_application.job : job => a.service_execution_role
    }) == jsonencode({ features = "arn:aws:iam::111122223333:role/features", archive = "arn:aws:iam::111122223333:role/archive" })
    error_message = "a job is missing, or runs under the role of another"
  }
  assert {
    condition = jsonencode({
      for job, a in aws_kinesisanalyticsv2_application.job : job => one([
        for g in one(one(a.application_configuration).environment_properties).property_group : g.property_map if g.property_group_id == "adfeast"
      ])
      }) == jsonencode({
      features = { kafka = "broker:9098", job = "features", digest = "abc" }
      archive  = { kafka = "broker:9098", job = "archive", digest = "def" }
    })
    error_message = "a job has other arguments than the plan's"
  }
  assert {
    condition = jsonencode({
      for job, a in aws_kinesisanalyticsv2_application.job : job => one(one(one(a.application_configuration).flink_application_configuration).parallelism_configuration).parallelism
    }) == jsonencode({ features = 4, archive = 2 })
    error_message = "a job has less parallelism than it needs"
  }
}

run "state_is_kept_and_encrypted" {
  command = plan

  assert {
    condition = alltrue([
      for a in aws_kinesisanalyticsv2_application.job : one(one(a.application_configuration).application_encryption_configuration).key_type == "CUSTOMER_MANAGED_KEY"
    ])
    error_message = "a job's state is not encrypted by our key"
  }
  assert {
    condition = alltrue([
      for a in aws_kinesisanalyticsv2_application.job :
      one(one(a.application_configuration).application_snapshot_configuration).snapshots_enabled
      && one(one(one(a.application_configuration).flink_application_configuration).checkpoint_configuration).checkpointing_enabled
    ])
    error_message = "a job that is restarted forgets what it had"
  }
}

run "no_package_no_jobs" {
  command = plan
  variables {
    code = null
  }

  assert {
    condition     = length(aws_kinesisanalyticsv2_application.job) == 0
    error_message = "a job has no program"
  }
}

run "an_older_flink_is_refused" {
  command = plan
  variables {
    runtime = "FLINK-1_20"
  }
  expect_failures = [var.runtime]
}
