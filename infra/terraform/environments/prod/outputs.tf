output "platform" {
  description = "Addresses and names of what was made."
  value       = module.platform
}
