output "applications" {
  description = "Flink job to its application."
  value       = { for job, application in aws_kinesisanalyticsv2_application.job : job => application.name }
}
