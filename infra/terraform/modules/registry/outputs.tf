output "database_address" {
  description = "Host name of PostgreSQL."
  value       = aws_db_instance.this.address
}

output "database_owner_secret_arn" {
  description = "Secret with the password of the database's owner, which RDS keeps and changes."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "secret_arns" {
  description = "Secrets that the programs read: registry-url, mlflow-url."
  value       = { for name, secret in aws_secretsmanager_secret.url : name => secret.arn }
}

output "image_urls" {
  description = "Image to the repository it is pushed to."
  value       = { for name, image in aws_ecr_repository.image : name => image.repository_url }
}

output "key_arn" {
  description = "KMS key of the database, the secrets and the images."
  value       = module.key.arn
}
