-- Request a new token now. Any new value of the annotation is a request.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["pinecone.token-operator.dev/refresh-requested-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
