# The scheduler may start these containers under these roles; ECS may fetch the image, write the log, hand in the secrets.

locals {
  here = "${var.account.region}:${var.account.id}"
}

resource "aws_iam_role" "scheduler" {
  name = "${var.name}-scheduler"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }]
  })
}

resource "aws_iam_role_policy" "scheduler" {
  name = "start"
  role = aws_iam_role.scheduler.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Action    = "ecs:RunTask"
        Resource  = [for role in keys(var.role_arns) : "arn:aws:ecs:${local.here}:task-definition/${var.name}-${role}:*"]
        Condition = { ArnEquals = { "ecs:cluster" = "arn:aws:ecs:${local.here}:cluster/${var.name}-commands" } }
      },
      {
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = concat([aws_iam_role.start.arn], values(var.role_arns))
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.lost.arn },
      { Effect = "Allow", Action = "kms:Decrypt", Resource = var.registry_key_arn },
    ]
  })
}

resource "aws_iam_role" "start" {
  name = "${var.name}-start"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }]
  })
}

resource "aws_iam_role_policy" "start" {
  name = "start"
  role = aws_iam_role.start.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # A token for the whole registry is the only kind there is.
      { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
        Resource = "arn:aws:ecr:${local.here}:repository/${var.name}/adfeast"
      },
      {
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "arn:aws:logs:${local.here}:log-group:/adfeast/${var.name}/commands:*"
      },
      { Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = values(var.secrets) },
      { Effect = "Allow", Action = "kms:Decrypt", Resource = var.registry_key_arn },
    ]
  })
}
