-- Refresh the token again.
obj.spec.suspend = false
return obj
