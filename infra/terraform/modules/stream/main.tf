# One application a Flink job of the plan. Checkpoints and snapshots lie in storage that the service keeps on S3.

locals {
  jobs = { for job, j in var.jobs : job => j if var.code != null }
}

resource "aws_cloudwatch_log_group" "flink" {
  name              = "/adfeast/${var.name}/flink"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_cloudwatch_log_stream" "job" {
  for_each       = local.jobs
  name           = each.key
  log_group_name = aws_cloudwatch_log_group.flink.name
}

module "key" {
  source      = "../key"
  name        = "${var.name}-flink"
  description = "State of the Flink jobs of ${var.name}"
  account     = var.account
  services    = ["kinesisanalytics.amazonaws.com"]
}

resource "aws_kinesisanalyticsv2_application" "job" {
  for_each               = local.jobs
  name                   = "${var.name}-${each.key}"
  runtime_environment    = var.runtime
  service_execution_role = var.role_arns[each.value.kind]
  start_application      = var.started

  application_configuration {
    application_code_configuration {
      code_content_type = "ZIPFILE"
      code_content {
        s3_content_location {
          bucket_arn = "arn:aws:s3:::${var.code.bucket}"
          file_key   = var.code.key
        }
      }
    }

    application_encryption_configuration {
      key_type = "CUSTOMER_MANAGED_KEY"
      key_id   = module.key.arn
    }

    # A job that AWS restarts goes on from what it had; one whose definitions changed is another job.
    application_snapshot_configuration {
      snapshots_enabled = true
    }

    environment_properties {
      property_group {
        property_group_id = "adfeast"
        property_map      = merge(var.places, each.value.arguments)
      }
      property_group {
        property_group_id = "kinesis.analytics.flink.run.options"
        property_map      = { python = var.code.python, jarfile = var.code.jar }
      }
    }

    flink_application_configuration {
      checkpoint_configuration {
        configuration_type            = "CUSTOM"
        checkpointing_enabled         = true
        checkpoint_interval           = each.value.checkpoint_ms
        min_pause_between_checkpoints = each.value.checkpoint_ms
      }
      monitoring_configuration {
        configuration_type = "CUSTOM"
        log_level          = "INFO"
        metrics_level      = "TASK"
      }
      parallelism_configuration {
        configuration_type   = "CUSTOM"
        auto_scaling_enabled = false
        parallelism          = max(each.value.parallelism, lookup(var.least_parallelism, each.value.kind, 1))
        parallelism_per_kpu  = 1
      }
    }

    vpc_configuration {
      subnet_ids         = var.subnet_ids
      security_group_ids = [var.security_group_id]
    }
  }

  cloudwatch_logging_options {
    log_stream_arn = aws_cloudwatch_log_stream.job[each.key].arn
  }
}
