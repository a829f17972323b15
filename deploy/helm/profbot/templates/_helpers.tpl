{{- define "profbot.name" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "profbot.selector" -}}
app.kubernetes.io/name: profbot
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "profbot.labels" -}}
{{ include "profbot.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end -}}

{{- define "profbot.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "profbot.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "profbot.secret" -}}
{{- .Values.secret.name | default (include "profbot.name" .) -}}
{{- end -}}

{{- define "profbot.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What the manifests rely on wins over config. */}}
{{- define "profbot.config" -}}
{{- $kubernetes := dict "enabled" true -}}
{{- if .Values.discovery.namespaces -}}{{- $_ := set $kubernetes "namespaces" .Values.discovery.namespaces -}}{{- end -}}
{{- if ne .Values.discovery.reach "pod-ip" -}}{{- $_ := set $kubernetes "reach" .Values.discovery.reach -}}{{- end -}}
{{- $fixed := dict "listen" (dict "public" ":8080" "internal" ":6061") "data" "/var/lib/profbot/data" "kubernetes" $kubernetes -}}
{{- mergeOverwrite (dict "log" (dict "format" "json")) (deepCopy .Values.config) $fixed | toYaml -}}
{{- end -}}

{{/* The rules that discovery and the way to the pods need. */}}
{{- define "profbot.rules" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- if eq .Values.discovery.reach "proxy" }}
- apiGroups: [""]
  resources: [pods/proxy]
  verbs: [get]
{{- else if eq .Values.discovery.reach "port-forward" }}
- apiGroups: [""]
  resources: [pods/portforward]
  verbs: [create]
{{- end }}
{{- end -}}
