output "application_id" {
  description = "Application to start Spark jobs in."
  value       = aws_emrserverless_application.spark.id
}
