{{- define "pinecone-token-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pinecone-token-operator.fullname" -}}
{{- $name := include "pinecone-token-operator.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pinecone-token-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pinecone-token-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pinecone-token-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "pinecone-token-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pinecone-token-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pinecone-token-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* What the operator may do in each namespace that it serves. No delete: owned Secrets are collected by Kubernetes. */}}
{{- define "pinecone-token-operator.rules" -}}
- apiGroups: [pinecone.token-operator.dev]
  resources: [pineconeaccesstokens]
  verbs: [get, list, watch]
- apiGroups: [pinecone.token-operator.dev]
  resources: [pineconeaccesstokens/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}
