{{- /*
The alerts, from a dict with `namespace`: the operator's, `name`: of its Deployments, without the
shard's suffix, and `shards`: as in "pinecone-token-operator.shards".

Token metrics carry the namespace of their resource. If Prometheus overrides that label (honorLabels
off, or an enforced namespace label), the resource's namespace is in exported_namespace instead and
is empty otherwise. A cluster-scoped resource has none. Grouping by both and by the kind keeps two
resources of one name apart either way. All other metrics carry the namespace of the operator.

Only the leader reports tokens; during a failover two replicas may do so briefly, hence the max.

With several shards, alerts about the operator name the shard. Only pinecone_token_leader has that
label, and every replica reports it, so the others are joined with it.
*/}}
{{- define "pinecone-token-operator.alerts" -}}
{{- $resource := "{{ $labels.kind }} {{ if eq $labels.kind \"PineconeAccessToken\" }}{{ or $labels.exported_namespace $labels.namespace }}/{{ end }}{{ $labels.name }}" }}
{{- $sharded := gt (len .shards) 1 }}
{{- $by := ternary ", shard" "" $sharded }}
{{- $ofShard := ternary " of shard {{ $labels.shard }}" "" $sharded }}
{{- $fromShard := ternary " that shard {{ $labels.shard }} sent" "" $sharded }}
{{- $labeled := ternary " * on (namespace, job, instance) group_left (shard) (pinecone_token_leader >= bool 0)" "" $sharded }}
# A suspended resource has no scheduled refresh, and its token is meant to expire.
- alert: PineconeTokenExpired
  expr: |-
    max by (kind, namespace, exported_namespace, name) (pinecone_token_expiry_timestamp_seconds) <= time()
    and max by (kind, namespace, exported_namespace, name) (pinecone_token_refresh_timestamp_seconds)
  for: 1m
  labels:
    severity: critical
  annotations:
    summary: A Pinecone access token has expired.
    description: >-
      The token of {{ $resource }} has expired, and requests that use it are
      refused. The resource's Refreshed condition says why the token was not refreshed.
# Follows the token's own schedule, so that it fits any lifetime: half of the time for retries is gone.
- alert: PineconeTokenExpiringSoon
  expr: |-
    max by (kind, namespace, exported_namespace, name) (pinecone_token_expiry_timestamp_seconds) > time()
    and (
      max by (kind, namespace, exported_namespace, name) (pinecone_token_expiry_timestamp_seconds)
      + max by (kind, namespace, exported_namespace, name) (pinecone_token_refresh_timestamp_seconds)
    ) / 2 < time()
  labels:
    severity: critical
  annotations:
    summary: A Pinecone access token is about to expire and has not been refreshed.
    description: >-
      The token of {{ $resource }} is overdue: more than half of the time between
      its scheduled refresh and its expiry has passed. It expires at
      {{ `{{ $value | humanizeTimestamp }}` }}. The resource's Refreshed condition says why.
# Not only new resources: the expiry also disappears when the target Secret belongs to someone else.
- alert: PineconeTokenMissing
  expr: |-
    max by (kind, namespace, exported_namespace, name) (pinecone_token_ready) == 0
    unless max by (kind, namespace, exported_namespace, name) (pinecone_token_expiry_timestamp_seconds)
    unless max by (kind, namespace, exported_namespace, name) (pinecone_token_refreshed{reason="Suspended"})
  for: 10m
  labels:
    severity: warning
  annotations:
    summary: A Pinecone access token is missing.
    description: >-
      The target Secret of {{ $resource }} has held no token for 10 minutes. Pods that
      mount it do not start. The resource's conditions say why.
- alert: PineconeTokenContested
  expr: |-
    max by (kind, namespace, exported_namespace, name) (pinecone_token_refreshed{reason="TargetContested"}) == 0
  for: 5m
  labels:
    severity: warning
  annotations:
    summary: Another writer keeps changing a Pinecone token Secret.
    description: >-
      Another writer keeps changing the target Secret or the credentials of {{ $resource }},
      and the operator backs off from repairing it. The resource's Refreshed condition names the writer.
- alert: PineconeTokenRefreshBlocked
  expr: |-
    max by (kind, namespace, exported_namespace, name) (
      pinecone_token_refreshed{reason=~"AccessDenied|APIServerError|TargetNotWritable|TargetAltered|InternalError"}
    ) == 0
  for: 10m
  labels:
    severity: warning
  annotations:
    summary: The cluster keeps the operator from refreshing a Pinecone access token.
    description: >-
      The token of {{ $resource }} could not be refreshed for 10 minutes because of a
      missing permission, an admission policy or webhook, a quota, or the API server. The resource's
      Refreshed condition says which, and what to do.
# The other copies are refreshed as usual, so that only this says which namespaces will lack a token.
- alert: PineconeTokenCopiesFailing
  expr: |-
    max by (kind, namespace, exported_namespace, name) (pinecone_token_copies{outcome="failed"}) > 0
  for: 10m
  labels:
    severity: warning
  annotations:
    summary: Copies of a Pinecone access token cannot be written or removed.
    description: >-
      {{ `{{ $value }}` }} copies of the token of {{ $resource }} could not be written or removed for
      10 minutes. Each copy that is not written expires with its token. The resource's status.targets.failed
      names the namespaces, and says what to do.
# Every replica watches. One that serves all namespaces reports them with an empty label.
- alert: PineconeNamespaceNotServed
  expr: |-
    {{- if $sharded }}
    min by (namespace, exported_namespace, shard) (
      pinecone_token_namespace_served * on (job, instance) group_left (shard) (pinecone_token_leader >= bool 0)
    ) == 0
    {{- else }}
    min by (namespace, exported_namespace) (pinecone_token_namespace_served) == 0
    {{- end }}
  for: 10m
  labels:
    severity: critical
  annotations:
    summary: The Pinecone token operator cannot list or watch a namespace.
    description: >-
      The operator{{ $ofShard }} has failed to list or watch
      {{ `{{ or $labels.exported_namespace $labels.namespace "all namespaces" }}` }} for 10 minutes.
      Tokens there are not kept fresh reliably. Check that the namespace exists, and the operator's Role and
      RoleBinding in it; the operator's logs have the cause.
- alert: PineconeTokenRefreshFailing
  expr: |-
    sum by (namespace{{ $by }}) (
      increase(pinecone_token_exchanges_total{namespace="{{ .namespace }}", result=~"unavailable|throttled|invalid"}[10m]){{ $labeled }}
    )
    / sum by (namespace{{ $by }}) (
      increase(pinecone_token_exchanges_total{namespace="{{ .namespace }}"}[10m]){{ $labeled }}
    )
    > 0.5
  for: 5m
  labels:
    severity: warning
  annotations:
    summary: Most requests to Pinecone's token endpoint fail.
    description: >-
      {{ `{{ $value | humanizePercentage }}` }} of the requests{{ $ofShard }} to the token endpoint in the last 10
      minutes failed: it was unavailable, rate-limited the operator or sent unusable replies. Current
      tokens stay valid until they expire. See the logs of the operator in namespace {{ .namespace }}.
# With rejected credentials, two attempts are at most 10 minutes apart.
- alert: PineconeCredentialsRejected
  expr: |-
    sum by (namespace{{ $by }}) (
      increase(pinecone_token_exchanges_total{namespace="{{ .namespace }}", result="rejected"}[15m]){{ $labeled }}
    ) > 0
  labels:
    severity: warning
  annotations:
    summary: Pinecone's token endpoint rejects the credentials of a service account.
    description: >-
      The token endpoint rejected a client id or client secret{{ $fromShard }} in the last 15
      minutes. The Refreshed condition of the affected resources has the reason Rejected, and its message names the Secret to
      correct.
- alert: PineconeTokenOperatorNotProgressing
  expr: |-
    max by (namespace, job, instance{{ $by }}) (
      (min_over_time(pinecone_token_queue_length{namespace="{{ .namespace }}"}[5m]) > 0)
      {{- if $sharded }}
      * on (namespace, job, instance) group_left (shard) (pinecone_token_leader == 1)
      {{- else }}
      and on (namespace, job, instance) pinecone_token_leader == 1
      {{- end }}
    )
    unless on (namespace, job, instance)
    sum by (namespace, job, instance) (increase(pinecone_token_reconciles_total[5m])) > 0
  for: 5m
  labels:
    severity: critical
  annotations:
    summary: The Pinecone token operator is not making progress.
    description: >-
      {{ `{{ $value }}` }} resources are waiting in the work queue of {{ `{{ $labels.instance }}` }}{{ with $ofShard }}, the leader{{ . }},{{ end }} in
      namespace {{ .namespace }}, and it has completed no reconcile for 10 minutes.
{{- range $index, $shard := .shards }}
- alert: PineconeTokenOperatorDown
  expr: |-
    (count(pinecone_token_leader{namespace="{{ $.namespace }}"{{ if $sharded }}, shard="{{ $index }}"{{ end }}} == 1) or vector(0)) == 0
  for: 5m
  labels:
    severity: critical
    namespace: {{ $.namespace }}
    {{- if $sharded }}
    shard: {{ $index | quote }}
    {{- end }}
  annotations:
    summary: {{ ternary (printf "Shard %d of the Pinecone token operator" $index) "The Pinecone token operator" $sharded }} has no leader.
    description: >-
      No pod of Deployment {{ $.namespace }}/{{ $.name }}{{ $shard.suffix }} is the leader: none is running or
      scraped, or none could acquire the Lease. {{ ternary "The tokens of this shard" "Tokens" $sharded }} are not being refreshed.
{{- end }}
{{- end }}
