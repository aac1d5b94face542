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

{{- /* Select the operator's pods only, not the pod of helm test. */}}
{{- define "pinecone-token-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pinecone-token-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "pinecone-token-operator.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "pinecone-token-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /*
Labels and annotations, from a dict with `root` and optional `labels`, `annotations` and `ownLabels` of
the object. Precedence: the chart's labels, which selectors depend on; the object's; the common ones.
*/}}
{{- define "pinecone-token-operator.labelsAndAnnotations" -}}
{{- $own := include "pinecone-token-operator.ownLabels" .root | fromYaml | merge dict (default dict .ownLabels) -}}
labels:
  {{- merge $own (default dict .labels) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "pinecone-token-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pinecone-token-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "pinecone-token-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /*
The shards, as a JSON list: `suffix` of names, `labels` of objects and pods, `selectorLabels` of pods.
A single shard has no suffix and no label of its own.
*/}}
{{- define "pinecone-token-operator.shards" -}}
{{- $selector := include "pinecone-token-operator.selectorLabels" . | fromYaml }}
{{- $shards := list }}
{{- range $index := until (int .Values.shards) }}
{{- $sharded := gt (int $.Values.shards) 1 }}
{{- $labels := ternary (dict "pinecone.token-operator.dev/shard" (toString $index)) dict $sharded }}
{{- $suffix := ternary (printf "-%d" $index) "" $sharded }}
{{- $shards = append $shards (dict "suffix" $suffix "labels" $labels "selectorLabels" (merge dict $selector $labels)) }}
{{- end }}
{{- toJson $shards }}
{{- end }}

{{- define "pinecone-token-operator.leaseName" -}}
{{- default (include "pinecone-token-operator.fullname" .) .Values.leaderElection.leaseName }}
{{- end }}

{{- /* The Leases of all shards, as a JSON list. The operator appends its index if there are several. */}}
{{- define "pinecone-token-operator.leaseNames" -}}
{{- $name := include "pinecone-token-operator.leaseName" . }}
{{- $names := list $name }}
{{- if gt (int .Values.shards) 1 }}
{{- $names = list }}
{{- range until (int .Values.shards) }}
{{- $names = append $names (printf "%s-%d" $name .) }}
{{- end }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{- define "pinecone-token-operator.clusterResourceNamespace" -}}
{{- default .Release.Namespace .Values.clusterAccessTokens.resourceNamespace }}
{{- end }}

{{- /* The operator's rules in each watched namespace. Kubernetes garbage-collects owned Secrets. */}}
{{- define "pinecone-token-operator.rules" -}}
- apiGroups: [pinecone.token-operator.dev]
  resources: [pineconeaccesstokens]
  verbs: [get, list, watch]
- apiGroups: [pinecone.token-operator.dev]
  resources: [pineconeaccesstokens/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch{{ if or .Values.rbac.allowSecretDeletion .Values.clusterAccessTokens.enabled }}, delete{{ end }}]
- apiGroups: [""]
  resources: [events]
  verbs: [get, create, patch]
{{- end }}

{{- /* Egress to peers and TCP ports, from a dict with `to` and `ports`. */}}
{{- define "pinecone-token-operator.egressRule" -}}
- ports:
    {{- range .ports }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* Egress to DNS and to the API server. */}}
{{- define "pinecone-token-operator.clusterEgress" -}}
{{- $policy := .Values.networkPolicy -}}
# DNS
- ports:
    {{- range $policy.dns.ports }}
    - protocol: UDP
      port: {{ . }}
    - protocol: TCP
      port: {{ . }}
    {{- end }}
  {{- with $policy.dns.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# The API server
{{ include "pinecone-token-operator.egressRule" $policy.apiServer }}
{{- end }}

{{- /* Reject contradicting values with a clearer message than the schema could give. */}}
{{- define "pinecone-token-operator.validate" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail (printf "replicas is %d, but leaderElection.enabled is false: without leader election every replica would fetch every token; set replicas to 1 or leaderElection.enabled to true" (int .Values.replicas)) }}
{{- end }}
{{- if and .Values.updateStrategy (not .Values.leaderElection.enabled) (ne .Values.updateStrategy.type "Recreate") }}
{{- fail "updateStrategy.type must be Recreate while leaderElection.enabled is false: overlapping pods would both fetch every token" }}
{{- end }}
{{- if and .Values.tokenEndpoint.caBundle.configMapName .Values.tokenEndpoint.caBundle.secretName }}
{{- fail "tokenEndpoint.caBundle.configMapName and secretName are both set: set only one of them" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled and would scrape each pod twice: enable only one of them" }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor requires the Service: set metrics.service.enabled to true, or use metrics.podMonitor" }}
{{- end }}
{{- end }}
