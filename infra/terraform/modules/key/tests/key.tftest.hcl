# A key is renewed each year, and no other account may use it.

mock_provider "aws" {}

variables {
  name        = "adfeast-test"
  description = "a test"
  account     = { id = "111122223333", region = "us-east-1" }
  services    = ["logs.us-east-1.amazonaws.com"]
}

run "renewed_and_ours" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "the key is never renewed"
  }
  assert {
    condition = alltrue([
      for s in jsondecode(aws_kms_key.this.policy).Statement :
      try(s.Principal.AWS == "arn:aws:iam::111122223333:root", false) || try(s.Condition.StringEqualsIfExists["aws:SourceAccount"] == "111122223333", false)
    ])
    error_message = "somebody else may use the key"
  }
}

run "anything_but_a_service_is_refused" {
  command = plan
  variables {
    services = ["*"]
  }
  expect_failures = [var.services]
}
