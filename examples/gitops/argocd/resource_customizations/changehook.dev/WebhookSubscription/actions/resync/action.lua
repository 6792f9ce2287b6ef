-- Every selected object is sent again, once. The status echoes the annotation, the spec stays as it is in Git.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["changehook.dev/resync-requested-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
