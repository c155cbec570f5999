# Spark without servers: workers are there while a job runs. Jobs run under the role that starts them.

module "key" {
  source      = "../key"
  name        = "${var.name}-batch"
  description = "Disks and logs of Spark of ${var.name}"
  account     = var.account
  services    = ["logs.${var.account.region}.amazonaws.com", "emr-serverless.amazonaws.com"]
}

resource "aws_cloudwatch_log_group" "spark" {
  name              = "/adfeast/${var.name}/spark"
  retention_in_days = var.log_days
  kms_key_id        = module.key.arn
}

resource "aws_emrserverless_application" "spark" {
  name          = "${var.name}-spark"
  release_label = var.release
  type          = "spark"
  architecture  = "X86_64"

  maximum_capacity {
    cpu    = "${var.most.vcpus} vCPU"
    memory = "${var.most.memory_gb} GB"
  }

  auto_start_configuration {
    enabled = true
  }

  auto_stop_configuration {
    enabled              = true
    idle_timeout_minutes = 5
  }

  network_configuration {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }

  monitoring_configuration {
    cloudwatch_logging_configuration {
      enabled            = true
      log_group_name     = aws_cloudwatch_log_group.spark.name
      encryption_key_arn = module.key.arn
    }
    managed_persistence_monitoring_configuration {
      enabled            = true
      encryption_key_arn = module.key.arn
    }
  }

  runtime_configuration {
    classification = "spark-defaults"
    properties = {
      "spark.sql.session.timeZone"          = "UTC"
      "spark.network.crypto.enabled"        = "true"
      "spark.io.encryption.enabled"         = "true"
      "spark.hadoop.fs.s3a.endpoint.region" = var.account.region
    }
  }
}
