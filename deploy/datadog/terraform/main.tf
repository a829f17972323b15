# Datadog's side of profbot: the webhook with its token, and who calls it.
#
#   terraform init
#   TF_VAR_profbot_token=... terraform apply -var profbot_url=https://profbot.example.com

terraform {
  required_version = ">= 1.3"
  required_providers {
    datadog = {
      source  = "DataDog/datadog"
      version = ">= 3.60"
    }
  }
}

# Keys and site come from DD_API_KEY, DD_APP_KEY and DD_HOST.
provider "datadog" {}

resource "datadog_webhook_custom_variable" "token" {
  name      = "PROFBOT_TOKEN"
  value     = var.profbot_token
  is_secret = true
}

resource "datadog_webhook" "profbot" {
  name           = var.webhook_name
  url            = "${trimsuffix(var.profbot_url, "/")}/webhooks/datadog"
  encode_as      = "json"
  custom_headers = jsonencode({ Authorization = "Bearer $PROFBOT_TOKEN" })
  payload        = file("${path.module}/../payload.json")

  depends_on = [datadog_webhook_custom_variable.token]
}

# Every monitor with these tags calls profbot, and none is changed.
resource "datadog_monitor_notification_rule" "profbot" {
  for_each = var.notify_tags

  name       = "profbot: ${each.key}"
  recipients = ["webhook-${datadog_webhook.profbot.name}"]

  filter {
    tags = each.value
  }
}

# A monitor of the CPU of each pod, for services that have none.
resource "datadog_monitor" "cpu" {
  for_each = var.services

  name    = "CPU of ${each.key}${each.value.env == "" ? "" : " in ${each.value.env}"}: {{pod_name.name}}"
  type    = "metric alert"
  query   = "avg(last_5m):avg:container.cpu.usage{service:${each.key}${each.value.env == "" ? "" : ",env:${each.value.env}"}} by {pod_name} > ${each.value.cores * 1000000000}"
  message = "{{pod_name.name}} uses {{value}} of CPU, more than {{threshold}}. profbot takes its profile and tells in Slack what it does.\n\n@webhook-${datadog_webhook.profbot.name}"
  tags    = concat(["service:${each.key}"], each.value.env == "" ? [] : ["env:${each.value.env}"])

  include_tags        = true
  notify_no_data      = false
  require_full_window = false
  new_group_delay     = 120

  monitor_thresholds {
    critical = each.value.cores * 1000000000 # the metric is in nanocores
  }
}

resource "datadog_dashboard_json" "profbot" {
  count = var.dashboard ? 1 : 0

  dashboard = file("${path.module}/../dashboard.json")
}
