# Managed Prometheus and Grafana. Pods push their metrics with a role that may do nothing else; alarms go to a topic.

module "key" {
  source      = "../key"
  name        = "${var.name}-observability"
  description = "Metrics and alarms of ${var.name}"
  account     = var.account
  services    = ["aps.amazonaws.com", "cloudwatch.amazonaws.com"]
}

resource "aws_cloudwatch_log_group" "prometheus" {
  name              = "/aws/vendedlogs/adfeast/${var.name}/prometheus"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_prometheus_workspace" "this" {
  alias       = var.name
  kms_key_arn = module.key.arn

  logging_configuration {
    log_group_arn = "${aws_cloudwatch_log_group.prometheus.arn}:*"
  }
}

resource "aws_prometheus_workspace_configuration" "this" {
  workspace_id             = aws_prometheus_workspace.this.id
  retention_period_in_days = var.metric_days
}

resource "aws_prometheus_rule_group_namespace" "this" {
  for_each     = var.rules
  name         = each.key
  workspace_id = aws_prometheus_workspace.this.id
  data         = each.value
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = module.key.arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = ["aps.amazonaws.com", "cloudwatch.amazonaws.com"] }
      Action    = "sns:Publish"
      Resource  = "arn:aws:sns:${var.account.region}:${var.account.id}:${var.name}-alarms"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account.id } }
    }]
  })
}

resource "aws_sns_topic_subscription" "receiver" {
  for_each  = var.receivers
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

resource "aws_prometheus_alert_manager_definition" "this" {
  workspace_id = aws_prometheus_workspace.this.id
  definition = yamlencode({ alertmanager_config = yamlencode({
    route = { receiver = "people", group_by = ["alertname"], group_wait = "30s", repeat_interval = "4h" }
    receivers = [{
      name        = "people"
      sns_configs = [{ topic_arn = aws_sns_topic.alarms.arn, sigv4 = { region = var.account.region } }]
    }]
  }) })
}

# A start that EventBridge could not make is in no program's metrics.
resource "aws_cloudwatch_metric_alarm" "lost_starts" {
  alarm_name          = "${var.name}-lost-starts"
  alarm_description   = "A scheduled command could not be started; its message lies in the queue"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = var.lost_starts_queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}
