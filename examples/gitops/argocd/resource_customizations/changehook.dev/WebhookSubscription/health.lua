-- The status follows kstatus: InProgress is Progressing here, Failed is Degraded, Current is Healthy or Suspended.
-- A dead endpoint is none of these: it must not hold up a rollout.
local health = {status = "Progressing", message = "waiting for changehook to see this generation of the spec"}
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(name, wanted)
  return conditions[name] ~= nil and conditions[name].status == wanted
end
if is("Stalled", "True") then
  return {status = "Degraded", message = conditions.Stalled.message}
end
if not is("Ready", "True") then
  if conditions.Ready ~= nil then
    health.message = conditions.Ready.message
  end
  return health
end
if is("Suspended", "True") then
  return {status = "Suspended", message = conditions.Ready.message}
end
return {status = "Healthy", message = conditions.Ready.message}
