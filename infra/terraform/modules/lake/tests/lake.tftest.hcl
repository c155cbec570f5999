# The lake is open to nobody, and nothing in it is kept longer than is said.

mock_provider "aws" {}

variables {
  name    = "adfeast-test"
  account = { id = "111122223333", region = "us-east-1" }
  prefixes = {
    "events/impressions/" = { kind = "events" }
    "quarantine/"         = { kind = "quarantine" }
  }
}

run "no_bucket_is_public" {
  command = plan

  assert {
    condition     = toset(keys(aws_s3_bucket_public_access_block.this)) == toset(keys(aws_s3_bucket.this))
    error_message = "a bucket has no public access block"
  }
  assert {
    condition = alltrue([
      for b in aws_s3_bucket_public_access_block.this :
      b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets
    ])
    error_message = "a public access block lets something through"
  }
  assert {
    condition     = alltrue([for o in aws_s3_bucket_ownership_controls.this : one(o.rule).object_ownership == "BucketOwnerEnforced"])
    error_message = "a bucket takes access lists"
  }
  assert {
    condition = alltrue(flatten([for p in aws_s3_bucket_policy.this : [
      for s in jsondecode(p.policy).Statement : s.Effect == "Deny" || s.Principal != "*"
    ]]))
    error_message = "a bucket policy allows everybody something"
  }
}

run "buckets_are_encrypted_and_asked_by_tls_only" {
  command = plan

  assert {
    condition = alltrue([for p in aws_s3_bucket_policy.this : anytrue([
      for s in jsondecode(p.policy).Statement :
      s.Effect == "Deny" && s.Principal == "*" && s.Action == "s3:*" && try(s.Condition.Bool["aws:SecureTransport"], "") == "false"
    ])])
    error_message = "a bucket may be asked without TLS"
  }
  assert {
    condition = alltrue([for what, e in aws_s3_bucket_server_side_encryption_configuration.this : alltrue([
      for r in e.rule : one(r.apply_server_side_encryption_by_default).sse_algorithm == (what == "logs" ? "AES256" : "aws:kms")
    ])])
    error_message = "a bucket is not encrypted by its key"
  }
  assert {
    condition     = alltrue([for v in aws_s3_bucket_versioning.this : one(v.versioning_configuration).status == "Enabled"])
    error_message = "a bucket keeps no versions: what is deleted by mistake is gone"
  }
}

run "every_prefix_is_kept_as_long_as_is_said" {
  command = plan

  assert {
    condition = {
      for r in aws_s3_bucket_lifecycle_configuration.lake.rule : one(r.filter).prefix => one(r.expiration).days if r.id != "leftovers"
    } == { "events/impressions/" = 400, "quarantine/" = 30 }
    error_message = "a prefix of the plan has no rule of its own, or another retention"
  }
  assert {
    condition     = alltrue([for r in aws_s3_bucket_lifecycle_configuration.lake.rule : r.status == "Enabled"])
    error_message = "a rule is switched off"
  }
}

run "a_kind_without_days_is_refused" {
  command = plan
  variables {
    retention_days = { events = 10 }
  }
  expect_failures = [var.retention_days]
}
