-- Actions on both kinds in Argo CD, and which of them apply.
local suspended = obj.spec.suspend == true
return {
  ["refresh"] = { ["disabled"] = suspended },
  ["suspend"] = { ["disabled"] = suspended },
  ["resume"] = { ["disabled"] = not suspended },
}
