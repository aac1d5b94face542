"""One reconciler per kind: gather the input, apply the plan, write status and Events, clean up."""
