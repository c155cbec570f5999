# The `adfeast` commands of the plan, each in a container of its own by the clock. A command that is started twice, or
# again after a failure, does no harm: they are all made so.

locals {
  # The only place that can be written; whoever wants a temporary file or a home finds it there.
  scratch  = "/scratch"
  writable = { TMPDIR = local.scratch, HOME = local.scratch, JAVA_TOOL_OPTIONS = "-Djava.io.tmpdir=${local.scratch}" }
}

resource "aws_cloudwatch_log_group" "commands" {
  name              = "/adfeast/${var.name}/commands"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_ecs_cluster" "this" {
  name = "${var.name}-commands"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "command" {
  for_each                 = toset(keys(var.role_arns))
  family                   = "${var.name}-${each.value}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = tostring(var.size.cpu)
  memory                   = tostring(var.size.memory)
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = var.role_arns[each.value]

  ephemeral_storage {
    size_in_gib = var.size.scratch
  }

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  # Logs, Spark's spills and downloads: the rest of the container cannot be written.
  volume {
    name = "scratch"
  }

  container_definitions = jsonencode([{
    name                   = "adfeast"
    image                  = var.image
    essential              = true
    readonlyRootFilesystem = true
    user                   = "10001"
    command                = ["adfeast", "--help"]
    environment            = [for k, v in merge(local.writable, var.environment) : { name = k, value = v }]
    secrets                = [for k, arn in var.secrets : { name = k, valueFrom = arn }]
    mountPoints            = [{ sourceVolume = "scratch", containerPath = local.scratch, readOnly = false }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.commands.name
        awslogs-region        = var.account.region
        awslogs-stream-prefix = each.value
      }
    }
  }])
}

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_sqs_queue" "lost" {
  name                       = "${var.name}-lost-starts"
  sqs_managed_sse_enabled    = true
  message_retention_seconds  = 1209600
  visibility_timeout_seconds = 60
}

resource "aws_scheduler_schedule" "this" {
  for_each            = var.schedules
  name                = "${var.name}-${each.key}"
  group_name          = aws_scheduler_schedule_group.this.name
  description         = "${join(" ", slice(each.value.command, 0, min(3, length(each.value.command))))}: every ${each.value.interval_s} s, input ${each.value.grace_s} s late at most"
  schedule_expression = "rate(${each.value.rate_minutes} ${each.value.rate_minutes == 1 ? "minute" : "minutes"})"
  state               = var.enabled ? "ENABLED" : "DISABLED"
  kms_key_arn         = var.registry_key_arn

  # Not all at the same second.
  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = max(1, floor(each.value.rate_minutes / 4))
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ containerOverrides = [{ name = "adfeast", command = each.value.command }] })

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.command[each.value.role].arn
      launch_type         = "FARGATE"

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = [var.security_group_id]
        assign_public_ip = false
      }
    }

    # The next start does what this one would have done.
    retry_policy {
      maximum_event_age_in_seconds = max(60, each.value.rate_minutes * 60)
      maximum_retry_attempts       = 3
    }

    dead_letter_config {
      arn = aws_sqs_queue.lost.arn
    }
  }
}
