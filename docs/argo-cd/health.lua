-- Health of PineconeAccessTokens and ClusterPineconeAccessTokens in Argo CD, by the rules of kstatus,
-- which Flux and Helm apply.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready, refreshed, stalled = conditions["Ready"], conditions["Refreshed"], conditions["Stalled"]

-- The conditions are about an earlier generation of the resource, or not there yet.
if ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Waiting for the operator" }
end
-- Does not heal by waiting.
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
if obj.spec.suspend then
  return { status = "Suspended", message = refreshed and refreshed.message or ready.message }
end
if ready.status == "True" then
  -- The token is valid, and copies that failed do not affect the others.
  local targets = conditions["TargetsReady"]
  local failed = targets ~= nil and targets.status == "False"
  return { status = "Healthy", message = failed and targets.message or ready.message }
end
return { status = "Progressing", message = ready.message }
