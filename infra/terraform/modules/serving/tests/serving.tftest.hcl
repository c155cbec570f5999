# Kubernetes has no public address, pods no node's credentials, and gRPC no connection without TLS.

mock_provider "aws" {}

variables {
  name           = "adfeast-test"
  account        = { id = "111122223333", region = "us-east-1" }
  vpc_id         = "vpc-1"
  subnet_ids     = ["subnet-1", "subnet-2"]
  log_key_arn    = "arn:aws:kms:us-east-1:111122223333:key/1"
  nodes_group_id = "sg-nodes"
  pod_roles      = { server = "arn:aws:iam::111122223333:role/server" }
  administrators = ["arn:aws:iam::111122223333:role/admin"]
  nodes = {
    cpu = { instance_types = ["m7i.large"], least = 2, most = 4, disk_gb = 50, gpu = false }
    gpu = { instance_types = ["g6.xlarge"], least = 0, most = 4, disk_gb = 50, gpu = true }
  }
  load_balancer = {
    subnet_ids      = ["subnet-1", "subnet-2"]
    allowed         = ["10.20.0.0/16"]
    public          = false
    certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/1"
    log_bucket      = "logs"
  }
}

run "the_cluster_is_closed" {
  command = plan

  assert {
    condition     = one(aws_eks_cluster.this.vpc_config).endpoint_private_access && !one(aws_eks_cluster.this.vpc_config).endpoint_public_access
    error_message = "Kubernetes' API has a public address"
  }
  assert {
    condition     = contains(one(aws_eks_cluster.this.encryption_config).resources, "secrets")
    error_message = "Kubernetes' secrets are not encrypted by our key"
  }
  assert {
    condition     = toset(aws_eks_cluster.this.enabled_cluster_log_types) == toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    error_message = "what was done to the cluster is not logged"
  }
  assert {
    condition     = alltrue([for t in aws_launch_template.node : one(t.metadata_options).http_tokens == "required" && one(t.metadata_options).http_put_response_hop_limit == 1])
    error_message = "a pod may take its node's credentials"
  }
  assert {
    condition     = alltrue([for t in aws_launch_template.node : alltrue([for d in t.block_device_mappings : tobool(one(d.ebs).encrypted)])])
    error_message = "a node's disk is not encrypted"
  }
}

run "gpus_are_for_those_who_ask" {
  command = plan

  assert {
    condition     = [for t in aws_eks_node_group.this["gpu"].taint : t.effect] == ["NO_SCHEDULE"] && length(aws_eks_node_group.this["cpu"].taint) == 0
    error_message = "pods without a GPU fill the nodes that have one"
  }
}

run "grpc_by_tls_for_ad_servers" {
  command = plan

  assert {
    condition     = aws_lb_listener.grpc.protocol == "TLS" && strcontains(aws_lb_listener.grpc.ssl_policy, "TLS13")
    error_message = "gRPC may be asked without TLS, or by an old one"
  }
  assert {
    condition     = [for r in aws_vpc_security_group_ingress_rule.ad_servers : r.cidr_ipv4] == ["10.20.0.0/16"] && aws_lb.grpc.internal
    error_message = "others than the ad servers reach the load balancer"
  }
}

run "the_whole_internet_is_refused" {
  command = plan
  variables {
    load_balancer = {
      subnet_ids      = ["subnet-1", "subnet-2"]
      allowed         = ["0.0.0.0/0"]
      public          = true
      certificate_arn = "arn:aws:acm:us-east-1:111122223333:certificate/1"
      log_bucket      = "logs"
    }
  }
  expect_failures = [var.load_balancer]
}
