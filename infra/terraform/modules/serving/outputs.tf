output "cluster_name" {
  description = "Name of the EKS cluster."
  value       = aws_eks_cluster.this.name
}

output "grpc_address" {
  description = "Host name of the load balancer for gRPC, port 443."
  value       = aws_lb.grpc.dns_name
}

output "target_group_arn" {
  description = "Target group that Kubernetes registers the proxies' pods with."
  value       = aws_lb_target_group.grpc.arn
}
