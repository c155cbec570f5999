# Three buckets: the lake, the artifacts (models, MLflow's files, code), and the access logs of both.

locals {
  buckets = { for what in ["lake", "artifacts", "logs"] : what => "${var.name}-${what}-${var.account.id}" }
  data    = { for what, name in local.buckets : what => name if what != "logs" }
}

module "key" {
  source      = "../key"
  name        = "${var.name}-lake"
  description = "Lake and artifacts of ${var.name}"
  account     = var.account
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_62:Nobody acts on new objects: jobs ask for whole intervals, by the clock
  #checkov:skip=CKV_AWS_144:The platform lives in one region; versions are kept against mistakes
  for_each = local.buckets
  bucket   = each.value
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = local.buckets
  bucket                  = aws_s3_bucket.this[each.key].bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].bucket

  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      # S3 delivers access logs only into a bucket with its own key.
      sse_algorithm     = each.key == "logs" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "logs" ? null : module.key.arn
    }
  }
}

resource "aws_s3_bucket_logging" "this" {
  for_each      = local.data
  bucket        = aws_s3_bucket.this[each.key].bucket
  target_bucket = aws_s3_bucket.this["logs"].bucket
  target_prefix = "${each.key}/"
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets
  bucket   = aws_s3_bucket.this[each.key].bucket
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([{
      Sid       = "OnlyTLS"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::${each.value}", "arn:aws:s3:::${each.value}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }], each.key != "logs" ? [] : [{
      Sid       = "AccessLogs"
      Effect    = "Allow"
      Principal = { Service = ["logging.s3.amazonaws.com", "delivery.logs.amazonaws.com"] }
      Action    = ["s3:PutObject", "s3:GetBucketAcl"]
      Resource  = ["arn:aws:s3:::${each.value}", "arn:aws:s3:::${each.value}/*"]
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }])
  })
}
