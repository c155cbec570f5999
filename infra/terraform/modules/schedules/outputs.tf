output "schedules" {
  description = "Names of the schedules."
  value       = [for schedule in aws_scheduler_schedule.this : schedule.name]
}

output "lost_starts_queue" {
  description = "Queue of the starts that failed; anything in it is an alarm."
  value       = aws_sqs_queue.lost.name
}

output "cluster_arn" {
  description = "ECS cluster of the commands."
  value       = aws_ecs_cluster.this.arn
}

output "task_definitions" {
  description = "Role to the task definition of its commands, to run one by hand."
  value       = { for role, task in aws_ecs_task_definition.command : role => task.family }
}
