# A shop with 1,000 requests a second, and the rehearsal of prod. README says what it costs.

locals {
  sizes = {
    nat_per_zone      = true
    brokers           = { count = 3, instance_type = "kafka.m7g.large", volume_gb = 3000 }
    least_partitions  = { events = 12, values = 6 }
    valkey            = { node_type = "cache.r7g.large", shards = 2, replicas = 1, snapshot_days = 3 }
    database          = { instance_class = "db.m7g.large", storage_gb = 100, multi_az = true, backup_days = 14 }
    nodes             = { cpu = { instance_types = ["c7i.4xlarge"], least = 3, most = 9, disk_gb = 100, gpu = false } }
    spark             = { vcpus = 128, memory_gb = 512 }
    command           = { cpu = 16384, memory = 65536, scratch = 200 }
    least_parallelism = { features = 4, archive = 4 }
    retention_days    = { events = 180, values = 60, rows = 60, delivered = 180, training_sets = 90, quarantine = 30 }
    log_days          = 365
  }
}
