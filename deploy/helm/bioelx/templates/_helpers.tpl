{{- define "bioelx.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "bioelx.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "bioelx.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bioelx.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "bioelx.selector" -}}
app.kubernetes.io/name: {{ include "bioelx.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bioelx.labels" -}}
{{ include "bioelx.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "bioelx.claim" -}}
{{- default (printf "%s-releases" (include "bioelx.fullname" .)) .Values.releases.existingClaim }}
{{- end }}

{{/* What no container of the chart may do. */}}
{{- define "bioelx.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "bioelx.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The server's file: what the user says, then what belongs to the chart. */}}
{{- define "bioelx.settings" -}}
{{- $known := or .Values.tokens.secretName .Values.tls.clientCaSecretName }}
{{- if not (or .Values.insecureWithoutTlsAndAuthentication (and .Values.tls.secretName $known)) }}
{{- fail "name tls.secretName, and tokens.secretName or tls.clientCaSecretName; or set insecureWithoutTlsAndAuthentication" }}
{{- end }}
{{- if and .Values.tls.clientCaSecretName (not .Values.tls.secretName) }}
{{- fail "tls.clientCaSecretName needs tls.secretName" }}
{{- end }}
{{- if and .Values.settings.admin (not .Values.tokens.secretName) }}
{{- fail "settings.admin: only tokens.secretName gives callers the role admin" }}
{{- end }}
{{- if and .Values.settings.admin .Values.settings.release }}
{{- fail "settings.admin: a server of one settings.release does not switch: leave one of them out" }}
{{- end }}
{{- $settings := deepCopy .Values.settings }}
{{- $_ := set $settings "host" "0.0.0.0" }}
{{- $_ := set $settings "port" .Values.ports.grpc }}
{{- $_ := set $settings "health_address" (printf "0.0.0.0:%v" .Values.ports.health) }}
{{- $_ := set $settings "metrics_address" (printf "0.0.0.0:%v" .Values.ports.metrics) }}
{{- if .Values.insecureWithoutTlsAndAuthentication }}
{{- $_ := set $settings "insecure_without_tls_and_authentication" true }}
{{- end }}
{{- if .Values.tls.secretName }}
{{- $_ := set $settings "tls_certificate" "tls/tls.crt" }}
{{- $_ := set $settings "tls_key" "tls/tls.key" }}
{{- end }}
{{- if .Values.tls.clientCaSecretName }}
{{- $_ := set $settings "tls_client_ca" "client-ca/ca.crt" }}
{{- end }}
{{- if .Values.tokens.secretName }}
{{- $_ := set $settings "tokens" (printf "tokens/%s" .Values.tokens.key) }}
{{- end }}
{{- toToml $settings }}
{{- end }}
