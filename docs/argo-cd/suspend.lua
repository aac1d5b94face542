-- Stop refreshing the token.
obj.spec.suspend = true
return obj
