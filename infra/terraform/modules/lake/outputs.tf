output "buckets" {
  description = "What a bucket is for (lake, artifacts, logs) to its name."
  value       = { for what, bucket in aws_s3_bucket.this : what => bucket.bucket }
}

output "key_arn" {
  description = "KMS key of the lake and of the artifacts."
  value       = module.key.arn
}
