# One role a program. What it may do stands in programs.tf; here is who may take the role, and which keys open its data.

locals {
  keys = { for program, p in local.programs : program => concat(
    p.tables == "read" || p.tables == "write" ? [var.key_arns.online] : [],
    length(concat(p.lake_reads, p.lake_writes, p.artifact_reads, p.artifact_writes)) > 0 ? [var.key_arns.lake] : [],
    length(p.secrets) > 0 ? [var.key_arns.registry] : [],
  ) }
  # Known before any key is, so that a plan can say which policies there will be.
  keyed = toset([for program, p in local.programs : program if contains(["read", "write"], p.tables)
  || length(concat(p.lake_reads, p.lake_writes, p.artifact_reads, p.artifact_writes, p.secrets)) > 0])
}

resource "aws_iam_role" "program" {
  for_each = local.programs
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = local.trusted[each.value.runs] }
      Action    = each.value.runs == "flink" ? ["sts:AssumeRole"] : ["sts:AssumeRole", "sts:TagSession"]
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }]
  })
}

resource "aws_iam_role_policy" "access" {
  for_each = local.programs
  name     = "access"
  role     = aws_iam_role.program[each.key].id
  policy   = jsonencode({ Version = "2012-10-17", Statement = local.statements[each.key] })

  lifecycle {
    precondition {
      condition     = length(jsonencode(local.statements[each.key])) < 9000
      error_message = "the rights of ${each.key} no longer fit into one role (AWS takes 10,240 characters): name its topics or prefixes by what they begin with."
    }
  }
}

resource "aws_iam_role_policy" "keys" {
  for_each = local.keyed
  name     = "keys"
  role     = aws_iam_role.program[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"]
      Resource = local.keys[each.key]
    }]
  })
}

# Flink in a VPC makes its own network interfaces; AWS names no resource that this could be narrowed to before they are.
resource "aws_iam_role_policy" "network" {
  for_each = toset([for program, p in local.programs : program if p.runs == "flink"])
  name     = "network"
  role     = aws_iam_role.program[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "ec2:DescribeVpcs", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeDhcpOptions",
          "ec2:DescribeNetworkInterfaces", "ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission",
          "ec2:DeleteNetworkInterface",
        ]
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = var.account.region } }
      },
      {
        Effect   = "Allow"
        Action   = ["logs:PutLogEvents", "logs:DescribeLogGroups", "logs:DescribeLogStreams"]
        Resource = "arn:aws:logs:${local.here}:log-group:/adfeast/${var.name}/flink:*"
      },
    ]
  })
}
