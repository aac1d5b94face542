{{- /*
The alerts, from a dict with the operator's `namespace`. The times of a token carry the namespace of
its resource, everything else that of the operator; only the leader shows times of tokens, and two
replicas may both do so for a moment at a change of leader.
*/}}
{{- define "pinecone-token-operator.alerts" -}}
# Only with a planned refresh: a suspended resource has none, and its token is meant to expire.
- alert: PineconeTokenExpired
  expr: |-
    max by (namespace, name) (pinecone_token_expiry_timestamp_seconds) <= time()
    and max by (namespace, name) (pinecone_token_refresh_timestamp_seconds)
  for: 1m
  labels:
    severity: critical
  annotations:
    summary: A Pinecone access token has expired.
    description: >-
      The token of the PineconeAccessToken {{ `{{ $labels.namespace }}/{{ $labels.name }}` }} has expired,
      and applications that read it are refused. See the condition Refreshed of the resource.
# By the token's own plan, so that it fits any lifetime: the margin is for retries, and half is gone.
- alert: PineconeTokenExpiringSoon
  expr: |-
    max by (namespace, name) (pinecone_token_expiry_timestamp_seconds) > time()
    and (
      max by (namespace, name) (pinecone_token_expiry_timestamp_seconds)
      + max by (namespace, name) (pinecone_token_refresh_timestamp_seconds)
    ) / 2 < time()
  labels:
    severity: critical
  annotations:
    summary: A Pinecone access token is about to expire and could not be refreshed.
    description: >-
      More than half of the time between the planned refresh and the expiry of the token of the
      PineconeAccessToken {{ `{{ $labels.namespace }}/{{ $labels.name }}` }} has passed without a new
      token. It expires at {{ `{{ $value | humanizeTimestamp }}` }}.
- alert: PineconeTokenRefreshFailing
  expr: |-
    sum by (namespace) (
      increase(pinecone_token_exchanges_total{namespace="{{ .namespace }}", result=~"unavailable|throttled|invalid"}[10m])
    )
    / sum by (namespace) (increase(pinecone_token_exchanges_total{namespace="{{ .namespace }}"}[10m]))
    > 0.5
  for: 5m
  labels:
    severity: warning
  annotations:
    summary: Most requests to Pinecone's token endpoint fail.
    description: >-
      {{ `{{ $value | humanizePercentage }}` }} of the requests to the token endpoint in the last 10
      minutes gave no token, as it was out of reach, throttled them, or sent nonsense. Tokens stay valid
      for a while; see the operator's log in the namespace {{ .namespace }}.
# The longest wait between two attempts with rejected credentials is 10 minutes.
- alert: PineconeCredentialsRejected
  expr: |-
    sum by (namespace) (
      increase(pinecone_token_exchanges_total{namespace="{{ .namespace }}", result="rejected"}[15m])
    ) > 0
  labels:
    severity: warning
  annotations:
    summary: Pinecone's token endpoint rejects somebody's credentials.
    description: >-
      The token endpoint rejects a client id or a client secret. The condition Refreshed of the resources
      concerned has the reason Rejected, and its message names the Secret to correct.
- alert: PineconeTokenOperatorNotProgressing
  expr: |-
    max by (namespace) (
      min_over_time(pinecone_token_queue_length{namespace="{{ .namespace }}"}[10m])
      and on (namespace, job, instance) pinecone_token_leader == 1
    ) > 0
    and on (namespace)
    sum by (namespace) (increase(pinecone_token_reconciles_total{namespace="{{ .namespace }}"}[10m])) == 0
  labels:
    severity: critical
  annotations:
    summary: The Pinecone token operator stands still.
    description: >-
      {{ `{{ $value }}` }} resources wait, and the operator in the namespace {{ .namespace }} has looked at
      none of them for 10 minutes.
- alert: PineconeTokenOperatorDown
  expr: |-
    absent(pinecone_token_leader{namespace="{{ .namespace }}"} == 1)
  for: 5m
  labels:
    severity: critical
  annotations:
    summary: No Pinecone token operator works.
    description: >-
      No replica in the namespace {{ .namespace }} says that it leads: none runs, none is scraped, or none
      gets the Lease. No token is refreshed.
{{- end }}
