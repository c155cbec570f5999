output "role_arns" {
  description = "Program to its role."
  value       = { for program, role in aws_iam_role.program : program => role.arn }
}

output "pods" {
  description = "Programs that may run as pods."
  value       = [for program, p in local.programs : program if p.runs != "flink"]
}
