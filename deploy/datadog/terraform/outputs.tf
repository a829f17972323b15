output "mention" {
  description = "What to write into a monitor's message to have it call profbot."
  value       = "@webhook-${datadog_webhook.profbot.name}"
}

output "monitors" {
  description = "The monitors that were made, by service."
  value       = { for service, monitor in datadog_monitor.cpu : service => monitor.id }
}
