variable "profbot_url" {
  description = "profbot's public address, which Datadog calls."
  type        = string

  validation {
    condition     = startswith(var.profbot_url, "https://")
    error_message = "The token travels in a header: use https."
  }
}

variable "profbot_token" {
  description = "The token of webhook.tokens, at least 16 characters: openssl rand -hex 24. It is in the state too."
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.profbot_token) >= 16
    error_message = "The token needs at least 16 characters."
  }
}

variable "webhook_name" {
  description = "Name of the webhook, as in @webhook-NAME."
  type        = string
  default     = "profbot"
}

variable "notify_tags" {
  description = "Notification rules: a name, and the tags that a monitor must have to call profbot."
  type        = map(set(string))
  default     = {}
}

variable "services" {
  description = "Services that get a monitor: the service tag, its env (empty is all), and the cores of one pod at which it fires."
  type = map(object({
    env   = optional(string, "")
    cores = optional(number, 1)
  }))
  default = {}
}

variable "dashboard" {
  description = "Whether to make the dashboard of profbot's own metrics."
  type        = bool
  default     = true
}
