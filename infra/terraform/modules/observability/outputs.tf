output "prometheus_endpoint" {
  description = "Where metrics are pushed to and asked for."
  value       = aws_prometheus_workspace.this.prometheus_endpoint
}

output "grafana_endpoint" {
  description = "Host name of Grafana."
  value       = aws_grafana_workspace.this.endpoint
}

output "alarms_topic_arn" {
  description = "Topic of the alarms."
  value       = aws_sns_topic.alarms.arn
}

output "collector_role_arn" {
  description = "Role of the pod that pushes metrics."
  value       = aws_iam_role.collector.arn
}
