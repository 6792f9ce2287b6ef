local actions = {}
actions["resync"] = {["disabled"] = false}
return actions
