# A KMS key whose use IAM decides: the account may delegate, the named services may use it for this account only.

resource "aws_kms_key" "this" {
  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode({ Version = "2012-10-17", Statement = concat([local.owner], local.services) })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

locals {
  owner = {
    Sid       = "Owner"
    Effect    = "Allow"
    Principal = { AWS = "arn:aws:iam::${var.account.id}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }

  services = length(var.services) == 0 ? [] : [{
    Sid       = "Services"
    Effect    = "Allow"
    Principal = { Service = var.services }
    Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    Resource  = "*"
    # CloudWatch Logs and S3's log delivery say for whom they act in different ways.
    Condition = { StringEqualsIfExists = { "aws:SourceAccount" = var.account.id } }
  }]
}
