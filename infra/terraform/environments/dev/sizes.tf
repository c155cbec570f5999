# To try things: everything is there, nothing is large. README says what it costs.

locals {
  sizes = {
    nat_per_zone      = false
    brokers           = { count = 3, instance_type = "kafka.t3.small", volume_gb = 20 }
    least_partitions  = {}
    valkey            = { node_type = "cache.t4g.small", shards = 1, replicas = 1, snapshot_days = 1 }
    database          = { instance_class = "db.t4g.small", storage_gb = 20, multi_az = false, backup_days = 7 }
    nodes             = { cpu = { instance_types = ["m7i.large"], least = 2, most = 4, disk_gb = 50, gpu = false } }
    spark             = { vcpus = 16, memory_gb = 64 }
    command           = { cpu = 4096, memory = 16384, scratch = 50 }
    least_parallelism = {}
    retention_days    = { events = 30, values = 14, rows = 30, delivered = 30, training_sets = 30, quarantine = 14 }
    log_days          = 365
  }
}
