output "tables" {
  description = "Names of the DynamoDB tables."
  value       = keys(aws_dynamodb_table.view)
}

output "key_arn" {
  description = "KMS key of both tiers."
  value       = module.key.arn
}

output "redis_host" {
  description = "Address at which clients of the Valkey cluster begin."
  value       = aws_elasticache_replication_group.this.configuration_endpoint_address
}

output "redis_users" {
  description = "Program to the name it signs in with."
  value       = { for program, user in aws_elasticache_user.program : program => user.user_name }
}
