output "bootstrap" {
  description = "Addresses of the brokers, for clients that sign with IAM over TLS."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_iam
}

output "cluster_arn" {
  description = "ARN of the cluster."
  value       = aws_msk_cluster.this.arn
}

output "cluster_name" {
  description = "Name of the cluster, in the ARNs of its topics and groups."
  value       = aws_msk_cluster.this.cluster_name
}

output "topics" {
  description = "Names of the topics."
  value       = keys(aws_msk_topic.this)
}
