# Spark costs nothing while nothing runs, has an upper limit, and writes to no disk in the clear.

mock_provider "aws" {}

variables {
  name              = "adfeast-test"
  account           = { id = "111122223333", region = "us-east-1" }
  subnet_ids        = ["subnet-1"]
  security_group_id = "sg-1"
  most              = { vcpus = 16, memory_gb = 64 }
}

run "limited_idle_and_encrypted" {
  command = plan

  assert {
    condition     = one(aws_emrserverless_application.spark.maximum_capacity).cpu == "16 vCPU" && one(aws_emrserverless_application.spark.maximum_capacity).memory == "64 GB"
    error_message = "a job may take as many workers as it likes"
  }
  assert {
    condition     = one(aws_emrserverless_application.spark.auto_stop_configuration).enabled && length(aws_emrserverless_application.spark.initial_capacity) == 0
    error_message = "workers are paid for while nothing runs"
  }
  assert {
    condition = alltrue([
      for c in aws_emrserverless_application.spark.runtime_configuration :
      c.properties["spark.network.crypto.enabled"] == "true" && c.properties["spark.io.encryption.enabled"] == "true"
    ])
    error_message = "Spark shuffles in the clear"
  }
}
