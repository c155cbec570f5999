# 500,000 requests a second at peak, 100 million users. README says what it costs and which figures it is made of.

locals {
  sizes = {
    nat_per_zone     = true
    brokers          = { count = 9, instance_type = "express.m7g.4xlarge", volume_gb = 0 }
    least_partitions = { events = 240, values = 120, late = 12, dead = 6 }
    # Two tables of a user's rows, each read once a request, eventually consistent (half a unit), and half as much to
    # spare; written once a day within some four hours. Ads are few: their tables are on demand.
    table_capacity = { user = { read_units = 375000, write_units = 20000 } }
    valkey         = { node_type = "cache.r7g.4xlarge", shards = 16, replicas = 1, snapshot_days = 7 }
    database       = { instance_class = "db.m7g.2xlarge", storage_gb = 500, multi_az = true, backup_days = 35 }
    nodes = {
      cpu = { instance_types = ["c7i.16xlarge"], least = 20, most = 80, disk_gb = 200, gpu = false }
      gpu = { instance_types = ["g6.4xlarge"], least = 0, most = 40, disk_gb = 200, gpu = true }
    }
    spark             = { vcpus = 4000, memory_gb = 16000 }
    command           = { cpu = 16384, memory = 122880, scratch = 200 }
    least_parallelism = { features = 64, archive = 64 }
    retention_days    = { events = 400, values = 90, rows = 90, delivered = 400, training_sets = 180, quarantine = 30 }
    log_days          = 365
  }
}
