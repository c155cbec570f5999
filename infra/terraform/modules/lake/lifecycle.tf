# How long what is kept: one rule a prefix of the plan. Versions that were replaced or deleted go after a week.

locals {
  kept = { for prefix, p in var.prefixes : prefix => var.retention_days[p.kind] }
}

resource "aws_s3_bucket_lifecycle_configuration" "lake" {
  bucket = aws_s3_bucket.this["lake"].bucket

  dynamic "rule" {
    for_each = local.kept
    content {
      id     = replace(trimsuffix(rule.key, "/"), "/", "-")
      status = "Enabled"

      filter {
        prefix = rule.key
      }

      expiration {
        days = rule.value
      }

      dynamic "transition" {
        for_each = rule.value > var.cold_days + 30 ? [var.cold_days] : []
        content {
          days          = transition.value
          storage_class = "STANDARD_IA"
        }
      }
    }
  }

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {
      prefix = ""
    }

    # What a deletion leaves behind once the versions below it are gone.
    expiration {
      expired_object_delete_marker = true
    }

    noncurrent_version_expiration {
      noncurrent_days = 7
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

# Models and code are kept until a person deletes them; access logs for a year.
resource "aws_s3_bucket_lifecycle_configuration" "other" {
  for_each = { for what, name in local.buckets : what => name if what != "lake" }
  bucket   = aws_s3_bucket.this[each.key].bucket

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {
      prefix = ""
    }

    dynamic "expiration" {
      for_each = each.key == "logs" ? [365] : []
      content {
        days = expiration.value
      }
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}
