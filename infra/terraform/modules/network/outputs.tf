output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Private subnets, one a zone, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Public subnets, one a zone: load balancers that are open to the internet stand there, nothing else."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "program_groups" {
  description = "Kind of program to its security group: nodes, jobs, stream."
  value       = { for program, group in aws_security_group.program : program => group.id }
}
