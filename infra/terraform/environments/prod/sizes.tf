# 500,000 requests a second at peak, 100 million users. README says what it costs and which figures it is made of.

locals {
  sizes = {
    nat_per_zone     = true
    brokers          = { count = 30, instance_type = "express.m7g.4xlarge", volume_gb = 0 }
    least_partitions = { events = 960, values = 480, late = 24, dead = 12 }
    # Reads are 500,000 a second of 2 views with a user's row each, eventually consistent, and half as much to spare.
    table_capacity = { read_units = 375000, write_units = 60000 }
    valkey         = { node_type = "cache.r7g.4xlarge", shards = 40, replicas = 2, snapshot_days = 7 }
    database       = { instance_class = "db.m7g.2xlarge", storage_gb = 500, multi_az = true, backup_days = 35 }
    nodes = {
      cpu = { instance_types = ["c7i.16xlarge"], least = 60, most = 400, disk_gb = 200, gpu = false }
      gpu = { instance_types = ["g6.4xlarge"], least = 0, most = 120, disk_gb = 200, gpu = true }
    }
    spark             = { vcpus = 4000, memory_gb = 16000 }
    command           = { cpu = 16384, memory = 122880, scratch = 200 }
    least_parallelism = { features = 240, archive = 480 }
    retention_days    = { events = 400, values = 90, rows = 90, delivered = 400, training_sets = 180, quarantine = 30 }
    log_days          = 365
  }
}
