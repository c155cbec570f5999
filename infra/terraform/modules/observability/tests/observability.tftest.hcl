# Somebody is told of alarms, and the pod that pushes metrics can do nothing else.

mock_provider "aws" {}

variables {
  name              = "adfeast-test"
  account           = { id = "111122223333", region = "us-east-1" }
  log_key_arn       = "arn:aws:kms:us-east-1:111122223333:key/1"
  lost_starts_queue = "adfeast-test-lost-starts"
  receivers         = ["on-call@example.com"]
  rules             = { serving = "groups: []" }
}

run "alarms_reach_somebody" {
  command = plan

  assert {
    condition     = toset([for s in aws_sns_topic_subscription.receiver : s.endpoint]) == var.receivers
    error_message = "nobody is told of alarms"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.lost_starts.dimensions.QueueName == "adfeast-test-lost-starts" && aws_cloudwatch_metric_alarm.lost_starts.threshold == 0
    error_message = "a start that failed is no alarm"
  }
  assert {
    condition     = toset(keys(aws_prometheus_rule_group_namespace.this)) == toset(["serving"])
    error_message = "rules are missing"
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : s.Condition.StringEquals["aws:SourceAccount"] == "111122223333"])
    error_message = "another account may send alarms"
  }
}

run "alarms_for_nobody_are_refused" {
  command = plan
  variables {
    receivers = []
  }
  expect_failures = [var.receivers]
}
